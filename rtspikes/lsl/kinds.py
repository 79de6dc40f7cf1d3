"""Words that streams use for what a channel is → the kinds of this program."""

from __future__ import annotations

from rtspikes.types import ChannelKind

_WORDS: dict[ChannelKind, str] = {
    "electrode": "electrode electrodes ephys electrophysiology extracellular mea hdmea eeg ecog ieeg seeg dbs lfp ap "
    "raw mua spikes neural neuro amplifier amp headstage data signal voltage analog_signal wideband micro macro",
    "reference": "reference ref refs mastoid vref",
    "ground": "ground gnd earth",
    "aux": "aux auxiliary misc adc analog analogue accelerometer accel acc gyro gyroscope magnetometer mag imu motion "
    "emg eog ecg ekg bip gsr eda resp respiration ppg spo2 temperature temp pressure photodiode light audio mic dc "
    "position gaze pupil force current impedance supply battery",
    "trigger": "trigger triggers trig ttl stim sti marker markers event events digital din dout digital_in digital_out "
    "sync status counter timestamp",
    "unconnected": "unconnected unused nc off disabled none empty",
}

KINDS: dict[str, ChannelKind] = {word: kind for kind, words in _WORDS.items() for word in words.split()}
"""A channel's `type` in lower case → its kind. EMG, EOG and ECG count as aux: nobody detects their spikes here."""


def kind_of(word: str) -> ChannelKind | None:
    """Return the kind that a channel's `type` stands for; an electrode where none is said, None if it is unknown."""
    word = word.strip().lower()
    return KINDS.get(word.replace(" ", "_").replace("-", "_")) if word else "electrode"
