"""How the page of a table 1 looks: light, dark, and in print. Colours that colour-blind readers tell apart."""

from __future__ import annotations

from emofuse.report.timeline import COLOURS

_ORANGE, _AMBER, _BLUE, _SKY = COLOURS[1], COLOURS[4], COLOURS[5], COLOURS[7]


def _numbers(colour: str) -> str:
    return " ".join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))


STYLE = f"""
:root {{
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f5f6f8; --text: #1b1f24; --muted: #59626d; --line: #d5d9df;
  --first: {_BLUE}; --second: {_ORANGE}; --heat: {_numbers(_BLUE)}; --full: .6;
}}
@media screen and (prefers-color-scheme: dark) {{
  :root {{
    --ground: #14171b; --panel: #1d2127; --text: #e8eaed; --muted: #a3abb5; --line: #363c45;
    --first: {_SKY}; --second: {_AMBER}; --heat: {_numbers(_SKY)}; --full: .52;
  }}
}}
* {{ box-sizing: border-box; }}
body {{
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 76rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}}
h1 {{ margin: 0 0 1rem; font-size: 1.75rem; line-height: 1.2; }}
h2 {{ margin: 3rem 0 .5rem; font-size: 1.25rem; line-height: 1.3; }}
h3 {{ margin: 0 0 .25rem; font-size: 1rem; }}
h1, h2, h3, dd, li, summary, figcaption, caption, p {{ overflow-wrap: anywhere; }}
p, ul, dl {{ max-width: 46rem; }}
ul {{ padding-left: 1.2rem; }}
.muted, figcaption, caption {{ color: var(--muted); }}
.summary {{ padding: .6rem .9rem; border-left: .25rem solid var(--first); background: var(--panel); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0 0 1rem; }}
dt {{ color: var(--muted); }}
dd {{ margin: 0; }}
.scroll {{ overflow-x: auto; margin: .75rem 0; }}
.scroll:focus-visible, summary:focus-visible {{ outline: 2px solid var(--first); outline-offset: 2px; }}
table {{ border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; padding-bottom: .35rem; }}
th, td {{ padding: .35rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }}
th {{ font-weight: 600; }}
thead th {{ vertical-align: bottom; }}
th[scope=row], .left {{ text-align: left; white-space: nowrap; }}
.figures th[scope=row] {{ white-space: normal; }}
th[scope=colgroup] {{ text-align: center; }}
td.words {{ text-align: left; min-width: 10rem; }}
th .muted {{ font-weight: 400; min-width: 8rem; }}
.figures {{ width: 100%; }}
.name, .value, .interval, .verdict, .quoted, .nowrap {{ white-space: nowrap; }}
.interval {{ display: block; color: var(--muted); font-size: .8125rem; }}
td.main .value {{ font-weight: 600; }}
.verdict {{ display: block; font-size: .8125rem; }}
.verdict.beyond {{ font-weight: 600; }}
.quoted {{ background: var(--panel); font-style: italic; }}
.quoted.begins {{ border-left: 3px double var(--muted); }}
.heat td {{
  min-width: 4.9rem; border: 1px solid var(--ground);
  background-color: rgb(var(--heat) / calc(var(--share, 0) * var(--full)));
}}
.heat td, .heat th {{ padding: .3rem .5rem; }}
.heat th {{ border-bottom: 0; font-weight: 400; }}
.heat td.missing {{ color: var(--muted); background-color: transparent; }}
.many {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 33rem), 1fr)); gap: 1.75rem 2rem; }}
.many > * {{ margin: 0; min-width: 0; }}
.many caption {{ color: var(--text); font-size: 1rem; font-weight: 600; }}
.many .heat td {{ min-width: 3.8rem; }}
.many .heat th, .many .heat td {{ padding: .3rem .4rem; font-size: .8125rem; }}
figure {{ margin: 1rem 0; }}
figcaption {{ font-size: .875rem; }}
svg {{ display: block; width: 100%; height: auto; }}
.wide .scroll svg {{ min-width: 34rem; max-width: 50rem; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }}
svg text {{ fill: var(--text); font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }}
svg .tick {{ fill: var(--muted); }}
svg .grid {{ stroke: var(--line); }}
svg .whisker {{ fill: none; stroke-width: 1.5; }}
svg .curve {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
svg .curve.second {{ stroke-dasharray: 6 4; }}
svg .first {{ stroke: var(--first); }}
svg .second {{ stroke: var(--second); }}
svg .dot.first {{ fill: var(--first); }}
svg .dot.second {{ fill: var(--ground); stroke-width: 1.5; }}
.key {{ display: inline-block; width: 2rem; margin: 0 .3rem 0 .9rem; vertical-align: baseline; }}
.key:first-child {{ margin-left: 0; }}
details {{ margin: .5rem 0; }}
summary {{ cursor: pointer; }}
pre {{ overflow-x: auto; padding: .75rem 1rem; background: var(--panel); font-size: .8125rem; }}
code, pre {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }}
@media (max-width: 40rem) {{ .pair {{ grid-template-columns: 1fr; }} }}
@page {{ size: landscape; margin: 12mm; }}
@media print {{
  html {{ font-size: 11px; }}
  body {{ max-width: none; padding: 0; }}
  tfoot {{ display: table-row-group; }}
  .scroll {{ overflow: visible; }}
  h2, h3 {{ break-after: avoid; }}
  tr, figure, svg, .many > * {{ break-inside: avoid; }}
  .heat td, .quoted, .summary {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
}}
""".strip()
