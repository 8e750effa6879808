"""The few plain pages, and what a browser may do in each page: nothing comes from another host, ever."""

import hashlib
from base64 import b64encode
from html import escape
from urllib.parse import SplitResult

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1rem;
  color: #1b1f24; background: #f6f7f9; }
main { background: #fff; border: 1px solid #d9dde3; border-radius: 8px; padding: 1.5rem 2rem; }
h1 { font-size: 1.3rem; margin-top: 0; }
button { font: inherit; padding: .6rem 1.4rem; border: 0; border-radius: 6px; background: #0b57d0; color: #fff;
  cursor: pointer; }
button:focus-visible { outline: 3px solid #8ab4f8; }
code { background: #eef0f3; padding: .1rem .3rem; border-radius: 4px; }
@media (prefers-color-scheme: dark) {
  body { color: #e4e7eb; background: #14171a; }
  main { background: #1d2126; border-color: #333a42; }
  code { background: #2a3037; }
  a { color: #8ab4f8; }
}
"""
STYLE_WIDE = (
    STYLE
    + """
body { max-width: 72rem; margin: 2rem auto; }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
details { border-top: 1px solid #d9dde3; padding: .35rem 0; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4rem; font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .4rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-top: 1px solid #d9dde3;
  overflow-wrap: anywhere; }
td ul { margin: 0; padding-left: 1.1rem; }
@media (prefers-color-scheme: dark) { details, th, td { border-color: #333a42; } }
"""
)


def _style_hash(style: str) -> str:
    """Return by what the policy knows a style."""
    return f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_style_hash(STYLE)} {_style_hash(STYLE_WIDE)}; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
# In development alone: one click on the console's link signs in.
CONTENT_SECURITY_POLICY_PRESSED = f"{CONTENT_SECURITY_POLICY}; script-src 'self'"


# Of the mark that lightweight-charts draws on a chart, as its licence demands; the only style that a script brings.
CHART_STYLE_HASH = "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"


def page_policy(base: SplitResult) -> str:
    """Return what the trading page may do, served at an address: our own files and answers, and no inline script."""
    # To some browsers a WebSocket is not of the page's own origin.
    socket = f"{'wss' if base.scheme == 'https' else 'ws'}://{base.netloc}"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' {CHART_STYLE_HASH}; connect-src 'self' {socket};"
        " img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def page(title: str, content: str, style: str = STYLE) -> str:
    """Return a whole page; `content` is HTML, escaped by the caller."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body><main><h1>{escape(title)}</h1>\n"
        f"{content}\n</main></body></html>\n"
    )


def page_wide(title: str, content: str) -> str:
    """Return a page with room for tables."""
    return page(title, content, STYLE_WIDE)


def verify(token: str, address: str, script: str = "") -> str:
    """
    Return the page behind a link: one button, because a mail scanner follows links but presses nothing.

    `script` is the address of one that presses it.
    """
    pressed = f'<script type="module" src="{escape(script, quote=True)}"></script>' if script else ""
    whom = f"<p>You are about to sign in as <strong>{escape(address)}</strong>.</p>" if address else ""
    return page(
        "Sign in to Tidemark",
        f'{whom}<form method="post" action="/api/v1/auth/verify">'
        f'<input type="hidden" name="token" value="{escape(token, quote=True)}">'
        '<button type="submit">Sign in</button></form>'
        f"<p>If you did not ask for this link, close the page; nothing has happened.</p>{pressed}",
    )


def not_signed_in(reason: str) -> str:
    """Return the page after a link that signs nobody in, and the way on from there."""
    way_on = '<a href="/">The page</a> is open if you are signed in already; else it sends you a new link.'
    return page("Not signed in", f"<p>{escape(reason)}</p><p>{way_on}</p>")
