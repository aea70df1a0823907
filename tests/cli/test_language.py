"""The command line in Chinese: every text has its twin, and help that fits a terminal."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from string import Formatter

import click
import pytest

from softmax2d import demo, language
from softmax2d.cli import app
from softmax2d.demo import _article, _timing
from softmax2d.language import chinese

COMMANDS = {"": app, **app.commands}
HAN = re.compile(r"[\u4e00-\u9fff]")
# Words that stay: options, files, names of things, what stands in the place of a value.
KEPT = re.compile(r"--[a-z][\w-]+|\.[a-z]{2,}\w*|\b[A-Z]{2,}\w*\b|\d+(?:\.\d+)?|`[^`]+`")
ONLY_ENGLISH = {"FILE", "OPTIONS", "COMMAND", "ARGS"}  # 文件, 选项, 命令, 参数


def context_of(name, width=80):
    arguments = {"resilient_parsing": True, "terminal_width": width}
    if not name:
        return app.make_context("softmax2d", [], **arguments)
    return COMMANDS[name].make_context(name, [], parent=context_of(""), **arguments)


def help_texts():
    """Every English text of help: parts of the commands' texts, and the options'."""
    for name, command in COMMANDS.items():
        yield from (part.text for part in language.parts_of(command.help) if part.text)
        for param in command.get_params(context_of(name)):
            if isinstance(param, click.Option):
                yield param.help


def helps(width):
    with language.using("zh"):
        return {n: c.get_help(context_of(n, width)) for n, c in COMMANDS.items()}


@pytest.fixture
def cli(capsys):
    """Run the command line in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main([str(a) for a in args])
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def locale(monkeypatch):
    def choose(**environ):
        for name in ("SOFTMAX2D_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return choose


def test_every_text_of_help_has_a_chinese_one():
    assert [text for text in help_texts() if not HAN.search(chinese.TEXTS.get(text, ""))] == []


def test_no_chinese_text_is_left_over():
    sources = [*Path(click.__file__).parent.glob("*.py")]
    sources += [*Path(app.__class__.main.__code__.co_filename).parent.glob("*.py")]
    sources += [*Path(demo.__file__).parent.glob("*.py")]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    code = re.sub(r'"\s*(?:words \+= )?"', "", code)  # strings in several pieces
    used = {*help_texts(), _timing._RESAMPLED}
    used |= {"COMMAND [ARGS]...", "[COMMAND] [ARGS]..."}  # as click's release has it
    assert [text for text in chinese.TEXTS if text not in used and text not in code] == []
    assert sum(map(len, chinese.CATALOGUES)) == len(chinese.TEXTS), "one text in two catalogues"


def test_both_languages_name_the_same_things():
    for english, text in chinese.TEXTS.items():
        here, there = ({*KEPT.findall(t)} - ONLY_ENGLISH for t in (english, text))
        assert {k for k in here if k not in text} == set(), text
        assert {k for k in there if k not in english} == set(), text
        fields = [sorted(f[1:3] for f in Formatter().parse(t) if f[1]) for t in (english, text)]
        if "{" in english and '{"' not in english:
            assert fields[0] == fields[1], text


def test_chinese_is_set_as_chinese():
    for text in chinese.TEXTS.values():
        assert not re.search(r"[\u4e00-\u9fff][,;:!?]|[\u4e00-\u9fff]\.(\s|$)", text), text
        assert not re.search(r"[\u4e00-\u9fff][A-Za-z0-9`]|[A-Za-z0-9`][\u4e00-\u9fff]", text), text


@pytest.mark.parametrize("width", [58, 78, 98])
def test_help_fits_the_terminal(width):
    for name, text in helps(width).items():
        assert text.startswith("用法：softmax2d")
        for line in text.splitlines():
            bare = line.strip()
            assert line == line.rstrip()
            assert not bare or bare[0] not in "，。、；：？！）”…]", line
            assert not bare or bare[-1] not in "（“[", line
            code = re.search(r"softmax2d \w+ |^ *--|SOFTMAX2D_", line)
            if not code and len(bare.split()) > 1:
                assert language.columns(line) <= width, (name, line)
        starts = {
            len(row[1])
            for row in re.finditer(r"(?m)^(  -\S.*?  +)\S", text.partition("选项：")[2])
            if language.columns(row[1]) == len(row[1])
        }
        assert len(starts) == 1, "texts of options begin in one column"


def test_no_english_is_left_in_help():
    """Longer runs of English words are names, examples or code."""
    for text in helps(98).values():
        prose = re.sub(r"(?m)^.*softmax2d .*$|^ +--as .*$|`[^`]*`", "", text)
        found = re.findall(r"\b[a-z]+ (?:of|the|a|an|is|are|and|or|to|in|as) [a-z]+\b", prose)
        assert found == []
        assert "default:" not in prose


def test_a_word_too_long_and_a_last_character():
    assert language.wrap("一二三 abcdefghijkl 四五", 8) == ["一二三", "abcdefghijkl", "四五"]
    assert language.wrap("一二三四五。", 9) == ["一二三", "四五。"]
    assert language.wrap("数值为 0…255，共 `a b` 种", 8) == ["数值为", "0…255，", "共 `a b`", "种"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "zh_HK.UTF-8@radical"}, "zh"),
        ({"LANG": "zh_Hans"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "zhx_XX"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "%%"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LC_MESSAGES": "en_GB.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en:zh"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "fr:de"}, "zh"),
        ({"LANG": "POSIX", "LANGUAGE": "zh"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "SOFTMAX2D_LANGUAGE": "en"}, "en"),
        ({"LC_ALL": "C", "SOFTMAX2D_LANGUAGE": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "SOFTMAX2D_LANGUAGE": "klingon"}, "en"),
    ],
)
def test_the_environment_decides(environ, expected, locale):
    assert language.language_of(environ) == expected
    locale(**environ)
    assert language.current() == expected


@pytest.mark.parametrize(
    "args",
    [
        ("--language", "zh", "counts", "--help"),
        ("counts", "--language", "zh", "-h"),
        ("counts", "--help", "--language=zh"),
        ("--language", "en", "counts", "--language", "zh", "--help"),
    ],
)
def test_the_option_stands_anywhere(cli, args, locale):
    locale(LANG="en_US.UTF-8")
    code, out, err = cli(*args)
    assert (code, err) == (0, "")
    assert out.startswith("用法：softmax2d counts [选项] LABELS...\n\n  统计 LABELS")


def test_the_option_before_the_environment(cli, locale):
    locale(LANG="zh_CN.UTF-8")
    assert cli("--help")[1].startswith("用法：softmax2d [选项]")
    assert cli("--language", "en", "--help")[1].startswith("Usage: softmax2d [OPTIONS]")
    assert cli()[1] == cli("--help")[1]
    assert cli("info")[1].startswith("softmax2d  "), "results are not translated"


def test_another_language_is_refused_in_words(cli):
    code, out, err = cli("info", "--language", "fr")
    assert (code, out) == (2, "")
    assert "'fr' is not one of 'en', 'zh'. Try `softmax2d info --help`." in err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("segmen",), "没有 'segmen' 这个命令。"),
        (("segment",), "缺少参数 'LOGITS'。运行 `softmax2d segment --help` 查看帮助。"),
        (("segment", "a.npy"), "缺少选项 '-o' / '--out'。"),
        (("segment", "a", "-o", "b", "--axis", "x"), "'--axis' 的值无效：'x' 不是整数。"),
        (("predict", "a", "b", "-o", "c", "--overlap", "x"), "'x' 不是数。"),
        (("segment", "a", "-o", "b", "--as", "int"), "'int' 不在可选值 'float', "),
        (("predict", "a", "b", "-o", "c", "--window", "x"), "的值无效：应为像素数或 HxW"),
        (("info", "a", "b"), "多余的参数：a b。"),
        (("info", "--language"), "选项 '--language' 后面缺少值。"),
        (("segment", "a", "--cog=1"), "选项 '--cog' 不带值。"),
        (("info", "--langage", "zh"), "--langage"),
    ],
)
def test_wrong_usage_is_one_line(cli, args, text, locale):
    locale(LANG="zh_CN.UTF-8")
    code, out, err = cli(*args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert text in err
    assert "Try" not in err
    assert "No such" not in err


@pytest.mark.parametrize("message", ["No such option '--x'. (Did you mean one of: '--y', '--z'?)"])
def test_several_possibilities(message):
    with language.using("zh"):
        assert language.translate_usage(message) == ("没有 '--x' 这个选项。可能是：'--y', '--z'。")
        assert (
            language.translate_usage("A sentence without a twin.") == "A sentence without a twin."
        )


def test_an_output_without_the_characters(monkeypatch, locale):
    locale(LANG="zh_CN.UTF-8")
    for encoding, expected in (("ascii", "en"), ("latin-1", "en"), ("gbk", "zh"), ("utf-8", "zh")):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert language.current() == language.shown_in("zh") == expected
    with language.using("zh"):
        assert language.current() == "zh"
    with pytest.raises(ValueError, match="got 'fr'"), language.using("fr"):
        pass


def test_english_loads_no_catalogue_and_ascii_gets_english():
    code = "import sys; from softmax2d.cli import app\ntry: app.main(['info', '-h'])\nfinally: "
    code += "print('softmax2d.language.chinese' in sys.modules)"
    environ = {"PYTHONIOENCODING": "ascii", "LANG": "zh_CN.UTF-8", "PATH": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage:")
    assert done.stdout.endswith("False\n")


def test_the_demos_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_show_photograph", lambda say: {"retina.png": b"1"})
    lines = []
    with language.using("zh"):
        demo.run(tmp_path, timing=False, say=lines.append)
    assert len(lines) == 6
    assert all(HAN.search(line) for line in lines)
    assert lines[-2] == f"已写入 {tmp_path / 'retina.png'}"
    again = []
    with language.using("en"):
        _article.show(again.append)
    numbers = [re.findall(r"\d+\.\d+", line) for line in lines]
    assert [re.findall(r"\d+\.\d+", line) for line in again][2:] == numbers[2:4]
