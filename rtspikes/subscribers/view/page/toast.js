/** Short messages that go by themselves. */

const SHOWN_MS = 5000;
const MOST = 4;

export const createToasts =
  (box) =>
  (text, ok = true) => {
    for (const same of [...box.children].filter((other) => other.textContent.endsWith(text))) same.remove();
    const toast = document.createElement("div");
    toast.className = ok ? "toast" : "toast bad";
    toast.textContent = `${ok ? "" : "▲ "}${text}`;
    box.append(toast);
    while (box.children.length > MOST) box.firstChild.remove();
    setTimeout(() => toast.remove(), SHOWN_MS);
  };
