"""`make run`: Whence with the shipped model, and a first explanation to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.asking import connect
from service.cli.console import err, out
from service.cli.local.launch import greet, launch
from service.cli.local.up import Plan
from whence import WhenceError

DIGIT = Path("examples/7.png")
PICTURE = Path("out/seven.png")

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(host: Annotated[str, typer.Option()] = "127.0.0.1", port: Annotated[int, typer.Option()] = 8000) -> None:
    """Start everything, explain a handwritten seven, stay up."""
    launch(Plan(Path("models"), host, port), first_explanation)


def first_explanation(url: str) -> None:
    """Explain a handwritten digit, write the picture, and say what to try next."""
    greet(url)
    try:
        with connect(url) as client:
            PICTURE.parent.mkdir(exist_ok=True)
            client.explain("digits", DIGIT, "lrp").save(PICTURE)
    except WhenceError as error:
        err.print(f"the first explanation failed: {error}", style="red")
        return
    out.print(f"Explained {DIGIT} with layer-wise relevance propagation: look at [bold]{PICTURE}[/]", soft_wrap=True)
    out.print(f"\nDraw a digit yourself in a browser: [bold]{url}/[/]", soft_wrap=True)
    out.print("\nTry next, in another terminal:\n", soft_wrap=True)
    for line in suggestions(url):
        out.print(f"  {line}", soft_wrap=True, markup=False)
    out.print("\nCtrl-C ends everything.", soft_wrap=True)


def suggestions(url: str) -> list[str]:
    """Lines of curl that work while this Whence is up."""
    ask = f"'{url}/api/v1/explanations?model=digits&method"
    post = "curl -sS -H 'Content-Type: image/png' --data-binary @examples"
    return [
        f"{post}/3.png -H 'Accept: image/png' {ask}=integrated_gradients' -o out/three.png",
        f"{post}/4.png {ask}=integrated_gradients&target=9'      # what speaks for a nine? as JSON",
        f"{post}/8.png {ask}=predict'",
        f"curl -sS '{url}/api/v1/methods'",
        f"curl -sS '{url}/api/v1/models/digits'",
    ]


if __name__ == "__main__":
    app()
