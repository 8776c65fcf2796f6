"""The style of the HTML report: one colour for weir, grey for the bars, one for the peers."""

STYLE = '''
:root {
    color-scheme: light dark;
    --back: #ffffff; --text: #1d232b; --faint: #5c6673; --line: #d9dee4;
    --weir: #0b7a75; --raw: #8b949e; --peer: #b9a1d6; --met: #1a7f37; --missed: #c0261c;
}
@media (prefers-color-scheme: dark) {
    :root {
        --back: #14181d; --text: #e4e8ec; --faint: #9aa5b1; --line: #333b44;
        --weir: #2fb8af; --raw: #7a848e; --peer: #75609a; --met: #4cc26a; --missed: #ff7a6e;
    }
}
body { margin: 0; background: var(--back); color: var(--text);
       font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-bottom: .2rem;
     border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
small, .caption, .tick { color: var(--faint); }
h3 small { font-weight: normal; }
.caption { margin: 0; font-size: .85rem; }
a { color: var(--weir); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0; font-size: .87rem; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; }
th { color: var(--faint); font-weight: normal; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.met { color: var(--met); }
.missed { color: var(--missed); font-weight: bold; }
.unknown { color: var(--faint); }
.goals { margin: .2rem 0; padding-left: 1.2rem; font-size: .9rem; }
pre { overflow-x: auto; font-size: .8rem; line-height: 1.4; }
summary { cursor: pointer; color: var(--faint); font-size: .87rem; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--text); }
svg .tick { fill: var(--faint); font-size: 11px; }
svg .weir { fill: var(--weir); }
svg .raw { fill: var(--raw); }
svg .peer { fill: var(--peer); }
svg .weir-name { font-weight: bold; }
svg .grid { stroke: var(--line); }
svg .zero { stroke: var(--faint); }
svg .whisker { stroke: var(--text); fill: none; }
.weir-key, .raw-key, .peer-key { padding-left: .4rem; margin-right: .6rem;
                                 border-left: 1rem solid; }
.weir-key { border-color: var(--weir); }
.raw-key { border-color: var(--raw); }
.peer-key { border-color: var(--peer); }
'''
