// How a report looks.
#pragma once

namespace vigil {

inline constexpr const char* kReportStyle = R"css(
:root{--ink:#1c2330;--soft:#5b6475;--paper:#fff;--card:#f6f7f9;--line:#dde1e7;--bar:#5b84c4;--neg:#c08a4e;--curve:#0b3d91;--link:#0b4fb3;
--fault:#8f0e18;--faultbg:#fdecec;--note:#6b4e00;--notebg:#fdf5e0;--h0:#e3f2e6;--h1:#eef3d2;--h2:#fbeec0;--h3:#f8d5a8;--h4:#f2aea2;--hu:#eceff3}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ef;--soft:#9aa4b5;--paper:#12161d;--card:#1a202a;--line:#2e3643;--bar:#5e8fd8;--neg:#cf9a5f;
--curve:#b9d3ff;--link:#8ab8ff;--fault:#ff9a9a;--faultbg:#3a1d20;--note:#f0cf85;--notebg:#332a14;--h0:#17352a;--h1:#2b3a1c;--h2:#453a14;--h3:#583614;
--h4:#63241f;--hu:#232a35}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main,header,footer{max-width:1440px;margin:0 auto;padding:0 24px}
header{padding-top:28px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;margin:38px 0 10px}
h3{font-size:15px;margin:18px 0 6px}
p{margin:6px 0;max-width:90ch}
.soft{color:var(--soft)}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--link);outline-offset:2px}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:14px 0 0;padding:8px 0;border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:16px 0}
dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.notes{background:var(--card);border-left:4px solid var(--line);padding:8px 14px;margin:14px 0}
ul.findings{list-style:none;margin:0;padding:0}
ul.findings li{padding:7px 12px;margin:5px 0;border-radius:6px;overflow-wrap:anywhere}
li.fault{background:var(--faultbg)}li.note{background:var(--notebg)}
li.fault b{color:var(--fault)}li.note b{color:var(--note)}
.fine{background:var(--h0);padding:7px 12px;border-radius:6px}
.whole{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:18px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.lone{max-width:760px;margin-bottom:14px}
figure svg{width:100%;height:auto}
figcaption{color:var(--soft);font-size:13px;margin-top:4px}
svg{display:block;overflow:visible}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
td svg{max-width:128px;height:auto;margin:2px 0}
.bar{fill:var(--bar)}.negative{fill:var(--neg)}.curve{fill:none;stroke:var(--curve);stroke-width:1.4;vector-effect:non-scaling-stroke}
.rule{stroke:var(--line);stroke-width:1}.zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3;opacity:.7}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:5px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;background:var(--card);vertical-align:bottom}
tbody tr:last-child>*{border-bottom:0}
th:first-child{text-align:left;position:sticky;left:0;background:var(--paper);font-weight:600;
min-width:150px;max-width:290px;white-space:normal;overflow-wrap:anywhere}
thead th:first-child{background:var(--card)}
td.text,th.text{text-align:left}
td small{color:var(--soft)}
[class^=h] small{color:inherit}
.badge{display:inline-block;font-size:12px;font-weight:400;color:var(--note);background:var(--notebg);border-radius:4px;padding:0 6px}
.unsafe,.unsafe small{color:var(--fault);font-weight:600}
tr.pair>*{border-top:1px solid var(--line)}
.bad{color:var(--fault);font-weight:600}
.h0{background:var(--h0)}.h1{background:var(--h1)}.h2{background:var(--h2)}.h3{background:var(--h3)}.h4{background:var(--h4)}.hu{background:var(--hu)}
summary{cursor:pointer;color:var(--soft);margin:8px 0}
footer{color:var(--soft);font-size:13px;padding-top:26px;padding-bottom:34px}
@media(max-width:640px){main,header,footer{padding-left:14px;padding-right:14px}dl.facts{grid-template-columns:1fr;gap:0}dl.facts dd{margin-bottom:7px}
h1{font-size:21px}figure svg text{font-size:17px}th,td{padding:5px 7px}th:first-child{min-width:112px;max-width:132px}}
@page{size:landscape;margin:11mm}
@media print{body{font-size:11px}main,header,footer{padding:0;max-width:none}nav{display:none}.scroll{overflow:visible;border:0}table{font-size:9px}
th,td{padding:3px 6px}th:first-child{position:static;min-width:110px}td svg{max-width:96px}tr,figure,li{break-inside:avoid}h2{break-after:avoid}
thead{display:table-header-group}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
)css";

}  // namespace vigil
