"""What a Methods section cites: rtspikes in the session's version, and where the formulas that it used come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SOFTWARE = """@software{{rtspikes,
  title   = {{rtspikes: real-time spike detection for multi-electrode arrays}},
  author  = {{{{The rtspikes developers}}}},{version}
  year    = {{2026}}
}}"""

CITED = {
    "Quiroga et al. 2004": """@article{quiroga2004,
  title   = {Unsupervised spike detection and sorting with wavelets and superparamagnetic clustering},
  author  = {Quiroga, R. Quian and Nadasdy, Z. and Ben-Shaul, Y.},
  journal = {Neural Computation},
  volume  = {16},
  number  = {8},
  pages   = {1661--1687},
  year    = {2004},
  doi     = {10.1162/089976604774201631}
}""",
    "Mukhopadhyay and Ray 1998": """@article{mukhopadhyay1998,
  title   = {A new interpretation of nonlinear energy operator and its efficacy in spike detection},
  author  = {Mukhopadhyay, S. and Ray, G. C.},
  journal = {IEEE Transactions on Biomedical Engineering},
  volume  = {45},
  number  = {2},
  pages   = {180--187},
  year    = {1998}
}""",
    "Choi et al. 2006": """@article{choi2006,
  title   = {A new action potential detector using the {MTEO} and its effects on spike sorting systems at low
             signal-to-noise ratios},
  author  = {Choi, J. H. and Jung, H. K. and Kim, T.},
  journal = {IEEE Transactions on Biomedical Engineering},
  volume  = {53},
  number  = {4},
  pages   = {738--746},
  year    = {2006}
}""",
}
"""As the sentences cite it → its entry."""


def bibtex(facts: Mapping[str, Any], paragraphs: Sequence[str]) -> str:
    """Return the entry of rtspikes in the session's version, and those of the works that the paragraphs cite."""
    version = facts.get("rtspikes_version")
    entry = SOFTWARE.format(version=f"\n  version = {{{version}}}," if version else "")
    text = "\n".join(paragraphs)
    return "\n\n".join([entry, *(work for name, work in CITED.items() if name in text)])
