/** The connection: hello, acknowledgements, and coming back by itself. */

import { unpack } from "./unpack.js";

const VERSION = 1;
const FIRST_WAIT_S = 0.5;
const LONGEST_WAIT_S = 5;
const TOKEN_WRONG = 4401;
const OTHER_VERSION = 4400;

/** Take the token out of the address bar, where it would be seen on a projector and kept in the history. */
const takeToken = () => {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found !== null) {
    sessionStorage.setItem("token", found);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("token");
};

/** An installation was updated under an open page: load its page, but never in a circle. */
const reloadOnce = () => {
  if (sessionStorage.getItem("reloaded")) return false;
  sessionStorage.setItem("reloaded", "1");
  location.reload();
  return true;
};

/**
 * Return a connection that, once `open`, is kept for as long as the page is there.
 * `on` has message(head), state("connecting" | "open" | "away" | "token" | "version", wait_s).
 */
export const connect = (on) => {
  let token = takeToken();
  let socket = null;
  let wait_s = FIRST_WAIT_S;
  let timer = 0;

  const send = (message) => {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  };

  const take = (data) => {
    const message = typeof data === "string" ? JSON.parse(data) : unpack(data);
    if (message.t === "facts") {
      wait_s = FIRST_WAIT_S;
      sessionStorage.removeItem("reloaded");
    }
    try {
      on.message(message);
    } finally {
      if (message.t === "frame") send({ do: "got", n: message.n });
    }
  };

  const closed = (event) => {
    if (event.code === TOKEN_WRONG) return on.state("token");
    if (event.code === OTHER_VERSION) return reloadOnce() || on.state("version");
    on.state("away", wait_s);
    timer = setTimeout(open, wait_s * 1000);
    wait_s = Math.min(LONGEST_WAIT_S, wait_s * 2);
  };

  const open = () => {
    clearTimeout(timer);
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      send({ do: "hello", v: VERSION, token });
      on.state("open");
    };
    socket.onmessage = (event) => take(event.data);
    socket.onclose = closed;
  };

  const setToken = (text) => {
    token = text;
    sessionStorage.setItem("token", text);
    open();
  };

  window.addEventListener("online", () => socket?.readyState === WebSocket.CLOSED && open());
  return { open, send, setToken };
};
