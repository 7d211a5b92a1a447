"""Imports modules in the folder of a notebook, one after the other; says before and after each how it went.

Runs alone, in the environment's Python: wants on standard input, news on the standard output it was started with.
What the modules print goes to standard error.
"""
import importlib
import json
import os
import sys
import time


def attempt(module, names):
    try:
        found = importlib.import_module(module)
        for name in names:
            if not hasattr(found, name):
                try:
                    importlib.import_module(module + "." + name)
                except ModuleNotFoundError:
                    raise ImportError("cannot import name %r from %r" % (name, module)) from None
        return {}
    except BaseException as error:  # a module may do anything, SystemExit included
        return {"exception": type(error).__name__, "value": str(error)[:2000], "missing": getattr(error, "name", None)
                if isinstance(error, ModuleNotFoundError) else None}


def main():
    wants = json.load(sys.stdin)
    news = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[0] = os.getcwd()
    for number, (module, names) in enumerate(wants):
        news.write(json.dumps({"begun": number}) + "\n")
        news.flush()
        begun = time.monotonic()
        news.write(json.dumps({"ended": number, "seconds": time.monotonic() - begun, **attempt(module, names)}) + "\n")
        news.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
