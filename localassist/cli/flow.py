"""Text that streams onto a terminal, broken between words rather than inside them."""

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from localassist.cli.escapes import plain


class Flow:
    """Writes pieces of text as they come; a word is held back until it is whole, and begins a new line if it must.

    Chinese and Japanese may break between any two characters. Without a terminal nothing is broken.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width if console.is_terminal else 0
        self._column = 0
        self._space = ""
        self._word = Text()

    def write(self, text: str, style: str = "") -> None:
        """Take a piece of text; what a terminal would obey is escaped."""
        for character in plain(text.replace("\r\n", "\n"), keep="\n\t"):
            if character == "\n":
                self._put_word()
                self._space = ""
                self._console.print()
                self._column = 0
            elif character.isspace():
                self._put_word()
                self._space += character
            else:
                if cell_len(character) > 1 and self._may_break_before(character):
                    self._put_word()
                self._word.append(character, style)
        if not self._width:
            self._put_word()

    def end(self) -> None:
        """Write what is held back, and end the line."""
        self._put_word()
        if self._column:
            self._console.print()
        self._column, self._space = 0, ""

    def _may_break_before(self, character: str) -> bool:
        """Tell whether a wide character may begin a line: closing marks may not."""
        return (
            not self._word.plain.endswith(("“", "「", "『", "(", "（", "《"))
            and character not in "，。！？；：、）」』》”"
        )

    def _put_word(self) -> None:
        if not self._word.plain:
            return
        space, word = self._space, self._word
        n_cells = cell_len(word.plain)
        if self._width and self._column + len(space) + n_cells > self._width:
            if self._column:
                self._console.print()
            self._column, space = 0, ""
        self._console.print(Text.assemble(space, word), end="", soft_wrap=True)
        self._column += len(space) + n_cells
        self._space, self._word = "", Text()
