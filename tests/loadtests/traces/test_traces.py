"""Loaders read the three public formats, and refuse anything else with file, line and what they expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.traces import Row, Trace, TraceError, load_trace, make_samples

SAMPLES = Path(make_samples.__file__).with_name("samples")
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def _file(tmp_path: Path, text: str | bytes, name: str = "trace") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "format", "left_out"),
    [("azure.csv", "azure", 0), ("burstgpt.csv", "burstgpt", 9), ("mooncake.jsonl", "mooncake", 0)],
)
def test_each_sample_has_200_rows_of_its_format(name: str, format: str, left_out: int) -> None:
    trace = load_trace(SAMPLES / name)
    assert (trace.format, len(trace.rows) + trace.left_out, trace.left_out) == (format, 200, left_out)
    assert trace.rows[0].at_ns == 0
    assert [row.at_ns for row in trace.rows] == sorted(row.at_ns for row in trace.rows)


def test_the_samples_are_what_the_script_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_samples.main([str(tmp_path)])
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in SAMPLES.iterdir()}
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_mooncake_sample_shares_prefixes() -> None:
    rows = load_trace(SAMPLES / "mooncake.jsonl").rows
    seen: set[int] = set()
    shared = 0
    for row in rows:
        shared += sum(hash_id in seen for hash_id in row.hash_ids)
        seen.update(row.hash_ids)
    assert 0.3 < shared / sum(len(row.hash_ids) for row in rows) < 0.8


def test_azure_of_2023_has_times_without_zone(tmp_path: Path) -> None:
    path = _file(tmp_path, AZURE + "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,110,27\n")
    assert load_trace(path) == Trace("azure", [Row(0, 4808, 10), Row(52_000_000, 110, 27)], 0)


def test_azure_of_2024_has_times_with_one(tmp_path: Path) -> None:
    text = AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 02:00:01+02:00,2399,6\n"
    assert load_trace(_file(tmp_path, text)).rows == [Row(0, 2162, 5), Row(990_070_000, 2399, 6)]


def test_burstgpt_failures_are_left_out_and_counted(tmp_path: Path) -> None:
    text = BURST + "5,ChatGPT,472,18,490,Conversation log\n6,GPT-4,0,0,0,API log\n45,GPT-4,1087,230,1317,API log\n"
    assert load_trace(_file(tmp_path, text)) == Trace("burstgpt", [Row(0, 472, 18), Row(40_000_000_000, 1087, 230)], 1)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    header = "Session ID,Response tokens,Elapsed time,Timestamp,Request tokens"
    text = f"{header}\r\nx,18,1.5,0.25,472\r\n\r\ny,19,1.5,1,473\r\n"
    assert load_trace(_file(tmp_path, text)).rows == [Row(0, 472, 18), Row(750_000_000, 473, 19)]


def test_a_byte_order_mark_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert load_trace(_file(tmp_path, b"\xef\xbb\xbf" + AZURE.encode() + b"2023-11-16 18:17:03,1,2\n\n")).rows == [
        Row(0, 1, 2)
    ]
    line = b'{"timestamp": 1, "input_length": 3, "output_length": 4}'
    assert load_trace(_file(tmp_path, b"\xef\xbb\xbf" + line + b"\n\n" + line)).rows == [Row(0, 3, 4), Row(0, 3, 4)]


def test_mooncake_rows_carry_their_blocks(tmp_path: Path) -> None:
    text = (
        '{"timestamp": 3000, "input_length": 655, "output_length": 52, "hash_ids": [46, 47]}\n'
        '{"timestamp": 3052.5, "input_length": 512, "output_length": 5, "hash_ids": [46], "other": null}\n'
    )
    expected = [Row(0, 655, 52, (46, 47)), Row(52_500_000, 512, 5, (46,))]
    assert load_trace(_file(tmp_path, text)).rows == expected


def test_a_mooncake_trace_may_have_other_blocks(tmp_path: Path) -> None:
    path = _file(tmp_path, '{"timestamp": 0, "input_length": 40, "output_length": 5, "hash_ids": [1, 2, 3]}')
    assert load_trace(path, block_tokens=16).rows == [Row(0, 40, 5, (1, 2, 3))]
    with pytest.raises(TraceError, match=r":1: 3 hash_ids for 40 tokens; expected at most one per 512 tokens, so 1"):
        load_trace(path)


GOOD_AZURE = AZURE + "2023-11-16 18:17:03.9799600,4808,10\n"
GOOD_BURST = BURST + "5,ChatGPT,472,18,490,Conversation log\n"
GOOD_MOONCAKE = '{"timestamp": 9, "input_length": 9, "output_length": 9, "hash_ids": []}\n'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the first line is of no trace format known here; expected a header with ContextTokens"),
        ("time,tokens\n1,2\n", 1, "the first line is of no trace format"),
        (AZURE, 1, "no row has tokens; expected at least one request"),
        (BURST + "5,ChatGPT,0,0,0,API log\n", 2, "no row has tokens"),
        (GOOD_AZURE + "yesterday,4808,10\n", 3, "TIMESTAMP is 'yesterday'; expected a date and time such as"),
        (GOOD_AZURE + "2023-11-16 18:17:04,-1,10\n", 3, "ContextTokens is '-1'; expected a whole number from 0 to"),
        (GOOD_AZURE + "2023-11-16 18:17:04,1,1_0\n", 3, "GeneratedTokens is '1_0'; expected a whole number"),
        (GOOD_AZURE + "2023-11-16 18:17:04,1,٣\n", 3, "GeneratedTokens is '٣'; expected a whole number"),
        (GOOD_AZURE + "2023-11-16 18:17:04,99999999,1\n", 3, "ContextTokens is '99999999'; expected a whole number"),
        (GOOD_AZURE + "2023-11-16 18:17:04,5\n", 3, "2 fields; expected 3, as in the header"),
        (GOOD_AZURE + "2023-11-16 18:17:02,5,5\n", 3, "earlier than the one before it; expected rows sorted by time"),
        (GOOD_AZURE + "x" * 200_000 + ",5,5\n", 3, "field larger than field limit"),
        (GOOD_BURST + "six,GPT-4,1,2,3,API log\n", 3, "Timestamp is 'six'; expected seconds, 0 or more"),
        (GOOD_BURST + "inf,GPT-4,1,2,3,API log\n", 3, "Timestamp is 'inf'; expected seconds"),
        (GOOD_BURST + "nan,GPT-4,1,2,3,API log\n", 3, "Timestamp is 'nan'; expected seconds"),
        (GOOD_BURST + "-6,GPT-4,1,2,3,API log\n", 3, "Timestamp is '-6'; expected seconds"),
        (GOOD_BURST + "6,GPT-4,1.5,2,3,API log\n", 3, "Request tokens is '1.5'; expected a whole number"),
        (GOOD_MOONCAKE + "\n{", 3, "Input data was truncated; expected a JSON object with timestamp"),
        (GOOD_MOONCAKE + "[]", 2, "Expected `object`, got `array`; expected a JSON object"),
        (GOOD_MOONCAKE + '{"timestamp": 9}', 2, "missing required field `input_length`"),
        (GOOD_MOONCAKE + '{"timestamp": 9, "input_length": "9", "output_length": 9}', 2, "Expected `int`, got `str`"),
        (GOOD_MOONCAKE + '{"timestamp": 9, "input_length": -9, "output_length": 9}', 2, "Expected `int` >= 0"),
        (GOOD_MOONCAKE + '{"timestamp": 8, "input_length": 9, "output_length": 9}', 2, "earlier than the one before"),
        (GOOD_MOONCAKE + '{"timestamp": 9, "x": "' + "x" * 1_000_000, 2, "expected a JSON object"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(TraceError) as caught:
        load_trace(path)
    said = str(caught.value)
    assert said.startswith(f"{path}:{line}: ")
    assert message in said
    assert len(said) < len(str(path)) + 400  # nothing of any length is echoed


def test_bytes_that_are_no_text_are_refused_like_any_bad_row(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r":3: ContextTokens is"):
        load_trace(_file(tmp_path, GOOD_AZURE.encode() + b"2023-11-16 18:17:04,\xff\xfe,1\n"))


def test_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_trace(tmp_path / "none.csv")
