"""Runs the sessions of the README: readme/sessions.py ADDRESS.

A block of the kind `console` holds commands behind `$ ` and what they print. Each command is run as it stands,
but for the server's address. In what it prints, `…` stands for anything, `…` on a line of its own for any lines,
and a name in braces for a word that later commands and answers repeat. What only reads is asked again until it
answers as shown: a stranger looks twice as well.
"""

import pathlib
import re
import subprocess
import sys
import time

WRITTEN = "localhost:7071"
PATIENCE_SECONDS = 60
README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def sessions(text):
    """The blocks, each a list of commands with the lines they print."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        session = []
        for line in block.splitlines():
            if line.startswith("$ "):
                session.append((line[2:], []))
            else:
                session[-1][1].append(line)
        yield session


def pattern(line, known):
    """A line of an answer as an expression; words in braces become its groups."""
    parts, named = [], set()
    for part in re.split(r"(…|\{[a-z]+\})", line):
        name = part[1:-1]
        if part == "…":
            parts.append(".*")
        elif not re.fullmatch(r"\{[a-z]+\}", part):
            parts.append(re.escape(part))
        elif name in known:
            parts.append(re.escape(known[name]))
        elif name in named:
            parts.append(f"(?P={name})")
        else:
            named.add(name)
            parts.append(f"(?P<{name}>[\\w-]+)")
    return re.compile("".join(parts), re.IGNORECASE)


def match(shown, printed, known):
    """The words that the lines say, or None if they are not as shown."""
    if not shown:
        return {} if not printed else None
    if shown[0] == "…":
        rests = (match(shown[1:], printed[at:], known) for at in range(len(printed) + 1))
        return next((words for words in rests if words is not None), None)
    found = printed and pattern(shown[0], known).fullmatch(printed[0])
    if not found:
        return None
    words = found.groupdict()
    rest = match(shown[1:], printed[1:], known | words)
    return None if rest is None else words | rest


def run(command, shown, known):
    """Runs a command until it prints what is shown; returns the words it says."""
    for name, word in known.items():
        command = command.replace("{" + name + "}", word)
    reads = not re.search(r" (-X|-d|--data|-F) ", command)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        # The progress of a transfer is for people.
        done = subprocess.run(["bash", "-c", command.replace("curl ", "curl -sS ", 1)], capture_output=True, text=True)
        printed = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
        words = match(shown, printed, known)
        if done.returncode == 0 and words is not None:
            return words
        if not reads or done.returncode != 0 or time.monotonic() > until:
            sys.exit("\n".join([f"$ {command}", *printed, done.stderr, "the README shows:", *shown]))
        time.sleep(0.05)


def main(address):
    count = 0
    for session in sessions(README.read_text(encoding="utf-8")):
        known = {}
        for command, shown in session:
            here = [text.replace(WRITTEN, address) for text in (command, *shown)]
            known |= run(here[0], here[1:], known)
            count += 1
    if count == 0:
        sys.exit("the README has no sessions")
    print(f"{count} commands of the README answer as it shows")


if __name__ == "__main__":
    main(sys.argv[1])
