"""The tables' words in Chinese, for documents that end in ``.zh.md``."""

from __future__ import annotations

import re

# Whole cells of tables; what is not listed (shapes, code, numbers) stays.
CELLS = {
    "job": "任务",
    "today": "通行做法",
    "usual way": "通行做法",
    "times faster": "快几倍",
    "result, MB": "结果（MB）",
    "beside it, MB": "结果之外（MB）",
    "beside it, MB: leanest way of others": "结果之外（MB）：其他库最省的写法",
    "PyTorch, best way": "PyTorch 最快的写法",
    "softmax2d / floor": "softmax2d / 下限",
    "float32, classes first": "float32，类别轴在前",
    "ratio": "比值",
    "compiled": "编译后",
    "memory: PyTorch": "内存：PyTorch",
    "labels": "标签",
    "labels + confidence": "标签 + 置信度",
    "labels + confidence, 4 times larger": "标签 + 置信度，边长放大 4 倍",
    "softmax, out= given": "softmax，给出 out=",
    "softmax, backward": "softmax 反向传播",
    "softmax gradient (vjp), out= given": "softmax 的梯度（vjp），给出 out=",
    "log-softmax gradient (vjp), out= given": "log-softmax 的梯度（vjp），给出 out=",
    "cross-entropy + gradient": "交叉熵 + 梯度",
    "cross-entropy, forward + backward": "交叉熵，前向 + 反向",
    "cross-entropy from a quarter of the size": "交叉熵，logits 边长为四分之一",
    "confusion matrix + calibration error": "混淆矩阵 + 校准误差",
    "copy of the logits": "复制一遍 logits",
}
# Parts of cells and sentences.
PARTS = {
    r"(\d) s and (\d+ GB), extrapolated: class by class with scikit-image, then argmax": (
        r"\1 s，\2，外推：用 scikit-image 逐类放大，再取 argmax"
    ),
    r"\| copy: ([^|]*?), ": r"| 复制：\1，",
    r"^(.*), (\d+) threads, PyTorch (\S+):$": r"\1，\2 个线程，PyTorch \3：",
    r"\| log-softmax of \(z \+ (\d+), z\): (\S+) \|": r"| (z + \1, z) 的 log-softmax：\2 |",
    r" \((\S+) % off\)": r"（偏差 \1%）",
    r"\| softmax, N\((\d), (\d)\), C = (\d+)": r"| softmax，N(\1, \2)，C = \3",
}


def translate(text: str) -> str:
    """Return the lines of a block with its cells and sentences in Chinese."""

    def cells(line: str) -> str:
        if not line.startswith("| "):
            return line
        found = line[2:-2].split(" | ")
        return f"| {' | '.join(CELLS.get(cell, cell) for cell in found)} |"

    for part, chinese in PARTS.items():
        text = re.sub(part, chinese, text, flags=re.MULTILINE)
    return "\n".join(cells(line) for line in text.split("\n"))
