"""gin's messages in words that say what to write instead. It does not import gin: `tfdisent.config` alone does."""

import re
import tokenize
from collections.abc import Sequence

WRONG = (ImportError, SyntaxError, tokenize.TokenError, ValueError, TypeError, AttributeError, RecursionError)
"""What gin raises of a configuration that is wrong, besides files that are not there."""

_WORDS = (
  (
    r"No bindings specified for '(?:[^']*/)?([^'/]+)/gin\.macro'.*",
    r"%\1 has no value: write `\1 = …` into the configuration, or the value itself in place of %\1.",
  ),
  (r"malformed node or string.*?Failed to parse token '(true|false|none)'", lambda match: _capital(match[1])),
  (r"malformed node or string.*?Failed to parse token '([^']*)'", r"\1 is no value: a text wants quotes, as in '\1'"),
  (r"(?:invalid syntax|leading zeros|invalid decimal).*?Failed to parse token '([^']*)'", r"\1 is no value"),
  (r"Unable to parse value\.", "this is no value: a text wants quotes on both sides, and a list brackets."),
  (r"EOF in multi-line statement.*", "a bracket or a quote is opened and never closed."),
  (r"unterminated (?:triple-quoted )?string literal.*", "a text wants quotes on both sides: one is never closed."),
  (
    r"Expected newline\.",
    "a binding is one value, on a line of its own: a number, a text in quotes, True, None, or a list in brackets.",
  ),
  (
    r"Configurable '([^']+)' has denylisted kwarg '([^']+)'\.",
    r"\1.\2 is no binding: the command or the library gives it.",
  ),
  (r" Searched config paths: \[[^\]]*\]\.", ""),
  (r"In bindings string line (\d+)", r"(line \1 of --gin_param)"),
  (r'In file "([^"]*)", line (\d+)', r"(line \2 of \1)"),
)


def _capital(word: str) -> str:
  return f"{word} is no value: Python writes it {word.capitalize()}"


def in_words(message: object) -> str:
  """A message of gin as one line, without what only gin's authors can read."""
  line = " ".join(str(message).split())
  for riddle, words in _WORDS:
    line = re.sub(riddle, words, line)
  return line


def what_is_wrong(error: Exception, files: Sequence[str], bindings: Sequence[str]) -> str:
  """What gin's error says of a configuration, one of `WRONG`, and in which of its files or bindings."""
  if isinstance(error, ImportError):
    return f"a gin file imports a module that is not there: {in_words(error)}"
  if isinstance(error, SyntaxError):
    text = (error.text or ("" if error.filename else "; ".join(bindings))).strip()  # gin does not always give the text
    where = f"line {error.lineno} of {error.filename or '--gin_param'}"
    return f"gin: {in_words(error.msg)} ('{text}', {where})"
  if isinstance(error, tokenize.TokenError):
    return f"gin: {in_words(error.args[0])} ({'; '.join(bindings) or ', '.join(files)})"
  return f"gin: {in_words(error)}"
