"""What several chapters share and none teaches. What could keep it from being imported is said."""

import os
import sys

if sys.version_info < (3, 10):  # noqa: UP036, packages install with 3.9, too
    raise SystemExit(
        "error: this needs Python 3.10 or newer, and {} is {}.{}. Make the environment anew, "
        "with a newer one.".format(sys.executable, *sys.version_info)
    )

# Python looks for modules beside the script first: a file of the reader's can hide one of them.
_folder = sys.path[0] or os.curdir
_known = sys.stdlib_module_names | {"matplotlib", "numpy", "torch", "torchvision", "tqdm"}
_is_own = os.path.isdir(_folder) and _folder != os.path.dirname(os.__file__)  # noqa: PTH112, PTH120
for _file in os.listdir(_folder) if _is_own else []:  # noqa: PTH208
    if _file.endswith(".py") and _file[:-3] in _known:
        raise SystemExit(
            f"error: {os.path.join(_folder, _file)} has the name of a module that Python needs, "  # noqa: PTH118
            "and hides it. Give it another name."
        )
