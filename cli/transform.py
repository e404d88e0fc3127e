"""`kotovec transform`: a space derived from another one, by taking away what dominates it."""

from kotovec.cli.chosen import choose_layers, open_store, usual_space
from kotovec.cli.encodings import echo
from kotovec.cli.evaluate_options import StoredLayersOption
from kotovec.cli.geometry_options import DoOption, FitOption, RewriteOption
from kotovec.cli.options import JsonOption, QuietOption, SpaceOption, StoreOption
from kotovec.errors import InputError, choices
from kotovec.text import counted, json_line


def command(
    store: StoreOption = None,
    space: SpaceOption = "static",
    layers: StoredLayersOption = "last",
    do: DoOption = None,
    fit: FitOption = "all",
    overwrite: RewriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Derive a space from another one, and add it to the store.

    Example: `kotovec transform --space isolated --do abtt:3`
    """
    from kotovec.cli.progress import Display
    from kotovec.cli.tables import print_pairs
    from kotovec.cluster.events import Progress
    from kotovec.store.geometry.derive import derive
    from kotovec.store.geometry.steps import FORMS, Step
    from kotovec.store.prototypes import check_single

    if do is None:
        raise InputError("no step is given", hint=f"name one with --do: {choices(FORMS)}")
    step = Step.parse(do, fit)
    opened = open_store(store)
    spaces = choose_layers(usual_space(space, opened.spaces), layers, opened.spaces)
    for each in spaces:
        check_single(each, "a transform")
    made = []
    with Display(quiet=quiet) as display:
        for each in spaces:
            display.say(f"{each}: {step}")

            def report(done: int, total: int) -> None:
                display.show(Progress(done, total, "row"))

            made.append((derive(opened, each, step, overwrite=overwrite, report=report), each))
    for derived, each in made:
        if as_json:
            echo(json_line({"space": str(derived), "of": str(each), "fit": fit}))
        else:
            print_pairs([("space", f"{derived}  (of {each}; {counted(len(opened), 'token')})")])
