"""The command line: `python -m helpers COMMAND`. Thin lines over the functions of the package.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys

from helpers.cli.noise_options import add_noise_commands
from helpers.cli.parsing import (
    A_DATASET,
    Parser,
    add_device,
    add_save_every,
    add_split_options,
    count,
    later,
    positive,
)
from helpers.cli.recipe_options import add_recipe_options, views_of
from helpers.cli.train_options import add_overfit, add_train
from helpers.common.errors import UserError
from helpers.common.files import FULL, unwritable
from helpers.common.names import ENCODERS, METHODS, NOISE_SCHEDULES
from helpers.settings import PRESETS

PROTOCOLS = ("knn", "linear", "sgd", "mlp", "finetune", "adam", "mlp-adam")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns 0, 1 (a notebook failed), 2 (bad input or a full disk) or 130
    (Ctrl-C)."""
    try:
        options, unknown = parser().parse_known_args(arguments)
        options.views = views_of(unknown, options.parser)
        if getattr(options, "workers", None):
            os.environ["FEWLABELS_WORKERS"] = str(options.workers)
        status = options.command(options) or 0
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("helpers"):
            raise
        print(f"error: the package {missing.name} is not here ({sys.executable}): activate the "
              "environment, or run `python -m pip install -r requirements.txt` (`python -m helpers "
              "doctor` names all that are missing)", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("; ".join(filter(None, ("\nstopped by Ctrl-C", str(stop)))), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has left
        _drop_what_is_not_printed()
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = error.filename or "a file, or what this command prints"
        print(f"error: {unwritable(where, error)}", file=sys.stderr)
        _drop_what_is_not_printed()
        return 2


def _drop_what_is_not_printed() -> None:
    """Where the rest of the output cannot be written, Python shall not try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> Parser:
    """The parser with every command."""
    top = Parser(prog="python -m helpers",
                 description="Few labels, noisy images: notebooks and tools.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="execute the notebooks"))
    _add_pretrain(commands.add_parser("pretrain", help="train an encoder on images without labels"))
    _add_evaluate(commands.add_parser("evaluate", help="measure an encoder with few labels"))
    add_train(commands.add_parser("train", help="train a classifier and keep it in a file"))
    _add_predict(commands.add_parser("predict", help="classify images with a kept classifier"))
    _add_features(commands.add_parser("features", help="write features of images to the disk"))
    add_noise_commands(commands)
    add_overfit(commands.add_parser("overfit", help="can a network learn one batch by heart?"))
    _add_weights(commands.add_parser("weights", help="list, fetch and check released encoders"))
    doctor = commands.add_parser("doctor", help="say what this machine has and what will run on it")
    _add_doctor(doctor)
    return top


def _add_doctor(command: Parser) -> None:
    command.add_argument("--plan", action="store_true",
                         help="what each notebook would do, download and take; the next are its")
    command.add_argument("--details", action="store_true", help="a line on each in place of a row")
    command.add_argument("--device", choices=["t4", "cpu"], help="default: this machine")
    command.add_argument("--dataset", help=A_DATASET)
    command.add_argument("--preset", choices=list(PRESETS))
    command.set_defaults(command=later("doctor", "say"))


def _add_run(command: Parser) -> None:
    command.add_argument("--only", nargs="+", metavar="NN",
                         help="only these notebooks, such as 01 03")
    command.add_argument("--dataset", help=f"auto, {A_DATASET}")
    command.add_argument("--preset", choices=["auto", *PRESETS])
    command.add_argument("--seed", type=count)
    command.add_argument("--out", default="results", metavar="FOLDER", help="default: results")
    command.add_argument("--jobs", type=positive, metavar="N",
                         help="how many run side by side; default: the cores (a GPU: 1)")
    command.add_argument("--list", action="store_true", help="name the notebooks and stop")
    command.set_defaults(command=_run)


def _add_pretrain(command: Parser) -> None:
    command.add_argument("method", choices=list(METHODS))
    command.add_argument("--config", metavar="FILE",
                         help="a recipe as YAML: one of configs/, or a run folder's recipe.yaml; "
                         "other options override it")
    command.add_argument("--dataset", help=A_DATASET)
    command.add_argument("--encoder", "--arch", choices=ENCODERS, help="default: the preset's")
    command.add_argument("--start", metavar="WEIGHTS", help="imagenet, a name from `weights list`, "
                         "or a file; default: random weights")
    command.add_argument("--preset", choices=["auto", *PRESETS])
    command.add_argument("--epochs", type=positive, help="default: the preset's number of steps")
    command.add_argument("--batch-size", type=positive)
    command.add_argument("--image-size", type=positive, metavar="PIXELS")
    command.add_argument("--noise-sigma", metavar="SIGMA",
                         help="noise-byol: one deviation, images in [-1, 1]; 0: the "
                              "dataset's own range")
    command.add_argument("--noise-schedule", choices=NOISE_SCHEDULES,
                         help="noise-byol: when the noise comes")
    command.add_argument("--seed", type=count)
    command.add_argument("--out", metavar="FOLDER", help="default: FEWLABELS_RUN_DIR, else runs")
    command.add_argument("--resume", action="store_true",
                         help="go on from the last checkpoint in --out")
    add_save_every(command)
    command.add_argument("--stop-on-collapse", action="store_true",
                         help="end the training where it collapses")
    add_device(command, trains=True)
    command.add_argument("--devices", type=positive, default=1, metavar="N",
                         help="GPUs (or CPU processes) of each machine that share every batch")
    command.add_argument("--num-nodes", type=positive, default=1, metavar="N", help="machines")
    command.add_argument("--compile", action="store_true", help="torch.compile the networks where "
                         "that works: worth a try on a GPU, no gain on a CPU")
    command.add_argument("--no-graphs", dest="graphs", action="store_false", help="on a GPU, start "
                         "every operation by itself; default: record the passes once (CUDA graphs)")
    add_recipe_options(command)
    add_split_options(command)
    command.set_defaults(command=later("commands", "pretrain"))


def _add_predict(command: Parser) -> None:
    command.add_argument("file", help="what `train` wrote")
    command.add_argument("images", nargs="+", metavar="IMAGES",
                         help="files, folders, or - for names on standard input, one a line")
    command.add_argument("--out", default="predictions.csv", metavar="FILE",
                         help="default: predictions.csv")
    command.add_argument("--sheet", metavar="PNG",
                         help="draw the surest and the least sure images of each class")
    add_device(command)
    command.set_defaults(command=later("classifier", "predict_files"))


def _add_features(command: Parser) -> None:
    command.add_argument("data", metavar="FOLDER_OR_DATASET", help=A_DATASET)
    command.add_argument("--weights", required=True,
                         help="a name from `weights list`, or a file that pretrain wrote")
    command.add_argument("--out", default="latents", metavar="FOLDER",
                         help="default: latents; evaluate and train take it in place of images")
    command.add_argument("--dtype", choices=("float16", "float32"), default="float16",
                         help="default: float16")
    command.add_argument("--image-size", type=positive, metavar="PIXELS",
                         help="default: what the weights were trained on")
    command.add_argument("--seed", type=count, help="of the validation split")
    add_device(command)
    add_split_options(command)
    command.set_defaults(command=later("features", "features"))


def _add_evaluate(command: Parser) -> None:
    command.add_argument("checkpoint", help="a classifier that train wrote, a file that pretrain "
                         "wrote, weights of another project, or a name from `weights list`")
    command.add_argument("folder", nargs="?",
                         help="the same as --dataset; or what `features` wrote of them")
    command.add_argument("--dataset", default="auto", help=A_DATASET)
    command.add_argument("--protocol", nargs="+", choices=PROTOCOLS,
                         help="of an encoder; default: knn linear; sgd is DINO's linear one")
    command.add_argument("--k", nargs="+", type=positive, default=[10, 20, 100, 200], metavar="N",
                         help="neighbours that vote in knn; default: 10 20 100 200")
    command.add_argument("--seed", type=count)
    add_device(command, trains=True)
    command.add_argument("--json", action="store_true", help="print JSON in place of a table")
    add_split_options(command)
    command.set_defaults(command=later("commands", "evaluate"))


def _add_weights(command: Parser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="the released encoders")
    listed.add_argument("--details", action="store_true",
                        help="what each one is, how good, and by what command and licence")
    actions.add_parser("fetch", help="download one").add_argument("name")
    what = "a file of weights, or a name from the list"
    actions.add_parser("check", help="verify a file").add_argument("file", help=what)
    export = actions.add_parser("export", help="write an encoder for other programs")
    export.add_argument("file", help=what)
    export.add_argument("target", help="a path that ends in .onnx or .pt2")
    _add_release(actions.add_parser("release", help="measure one of your encoders and list it"))
    command.set_defaults(command=later("weights", "weights"))


def _add_release(action: Parser) -> None:
    action.add_argument("file", help="what `pretrain` wrote")
    action.add_argument("name", help="small letters, digits and hyphens")
    action.add_argument("--what",
                        help="one line for the list; default: what the file says of itself")
    action.add_argument("--licence", default="MIT")
    action.add_argument("--half", action="store_true",
                        help="keep it in half precision, half as large")
    action.add_argument("--input-size", type=int, metavar="PIXELS",
                        help="side to which images are resized on their way in; default: not at "
                             "all")
    action.add_argument("--dataset", help="to measure it on; default: the one it was trained on")
    action.set_defaults(command=later("commands", "release"))


def _run(options: argparse.Namespace) -> int:
    from helpers.cli import execute as execution
    from helpers.cli import notebooks as runner

    if options.list:
        for path in runner.choose(runner.find(), options.only):
            print(f"{path.stem:<28} {execution.title_of(path)}")
        return 0
    return runner.run(options.only, dataset=options.dataset, preset=options.preset,
                      seed=options.seed, out=options.out, jobs=options.jobs)
