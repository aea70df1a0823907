"""Click's own words: in help, in the names of values, and in errors of usage."""

from __future__ import annotations

CLICK = {
    "Usage:": "用法：",
    "Options:": "选项：",
    "Commands:": "命令：",
    "[OPTIONS]": "[选项]",
    "COMMAND [ARGS]...": "命令 [参数]...",
    "[COMMAND] [ARGS]...": "[命令] [参数]...",
    "Show this message and exit.": "显示帮助并退出。",
    "required": "必需",
    "default: ": "默认：",
    " Try `{path} --help`.": "运行 `{path} --help` 查看帮助。",
    "must be at least 1.": "至少为 1。",
    "expected a number of pixels, or HxW, as in 384x512.": "应为像素数或 HxW，例如 384x512。",
    "expected numbers with commas between them.": "应为用逗号隔开的数。",
    "expected whole numbers with commas between them.": "应为用逗号隔开的整数。",
    "expected mean_iou, mean_accuracy, or recall:CLASS,CLASS.": (
        "应为 mean_iou、mean_accuracy 或 recall:CLASS,CLASS。"
    ),
}
# Names of values after an option; those that are missing here are the same in both languages.
METAVARS = {
    "ADDRESS": "地址",
    "DISTANCE": "距离",
    "FILE": "文件",
    "FLOAT": "小数",
    "FOLDER": "文件夹",
    "IMAGE": "图像",
    "INTEGER": "整数",
    "KIND": "方式",
    "LIST": "列表",
    "NAME": "名称",
    "NAMES": "名称",
    "NAME|FILE": "名称|文件",
    "SIZE": "大小",
    "SUFFIX": "后缀",
    "TEXT": "文本",
}
# Sentences of click 8.1 to 8.5 as regular expressions; a `message` inside is translated, too.
USAGE = {
    r"(?P<message>.+) (?:\(Did you mean one of:|\(?Possible \w+:) (?P<names>.+?)\??\)": (
        "{message}可能是：{names}。"
    ),
    r"(?P<message>.+) \(?Did you mean (?P<name>.+?)\?\)?": "{message}是不是 {name}？",
    r"No such option:? (?P<name>\S+?)\.?": "没有 {name} 这个选项。",
    r"No such command:? (?P<name>.+?)\.?": "没有 {name} 这个命令。",
    r"Missing argument (?P<name>.+)\.": "缺少参数 {name}。",
    r"Missing option (?P<name>.+)\.": "缺少选项 {name}。",
    r"Missing command\.": "缺少命令。",
    r"Invalid value for (?P<name>.+?): (?P<message>.+)": "{name} 的值无效：{message}",
    r"(?P<value>.+) is not a valid integer\.": "{value} 不是整数。",
    r"(?P<value>.+) is not a valid float\.": "{value} 不是数。",
    r"(?P<value>.+) is not one of (?P<names>.+)\.": "{value} 不在可选值 {names} 之中。",
    r"Option (?P<name>.+) requires an argument\.": "选项 {name} 后面缺少值。",
    r"Option (?P<name>.+) does not take a value\.": "选项 {name} 不带值。",
    r"Got unexpected extra arguments? \((?P<names>.+)\)": "多余的参数：{names}。",
}
