"""config edit: the config in the user's editor."""

import os
import shlex
import subprocess

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.errors import InvalidInput
from cidery.repo.config import parse_config
from cidery.repo.config_file import read_raw
from cidery.repo.layout import refuse_kubo


class NoEditor(InvalidInput):
    """The config cannot be edited."""

    def __init__(self, editor: str = "", code: int = 0) -> None:
        super().__init__(editor, code)
        self.editor = editor
        self.code = code

    def __str__(self) -> str:
        if not self.editor:
            return "the environment variable EDITOR is not set; set it to your editor"
        return f"{self.editor} ended with code {self.code}"


async def edit(context: Context, call: Call) -> None:
    """The command. Raises NoEditor, and ConfigError for a config that would not be read."""
    editor = os.environ.get("EDITOR", "")
    if not editor:
        raise NoEditor
    refuse_kubo(context.config_file.parent)
    read_raw(context.config_file)
    code = subprocess.run([*shlex.split(editor), str(context.config_file)], check=False).returncode
    if code:
        raise NoEditor(editor, code)
    parse_config(read_raw(context.config_file))
