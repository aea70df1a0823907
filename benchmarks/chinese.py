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
    # decoding
    "expected score": "期望得分",
    "classes": "类别数",
    "fields": "随机场数",
    "decoded": "解码",
    "hill climbing": "爬山法",
    "part of its gain, %": "占爬山法提升的百分比",
    "least gain of a field": "单个随机场的最小提升",
    # rare_classes
    "method": "方法",
    "ECE, %": "ECE（%）",
    "accuracy, %": "准确率（%）",
    "mean accuracy, %": "平均准确率（%）",
    "mean IoU, %": "平均 IoU（%）",
    "change of mean IoU": "平均 IoU 的变化",
    "IoU of images, %": "逐幅图像 IoU（%）",
    "Dice of images, %": "逐幅图像 Dice（%）",
    "change": "变化",
    "worst tenth, IoU, %": "最差十分之一的 IoU（%）",
    "fit": "拟合",
    "change of": "指标的变化",
    "on the images it saw": "拟合所用的图像",
    "on others, by folds": "其他图像（交叉验证）",
    "on the second half": "后一半图像",
    "mean IoU, points": "平均 IoU，百分点",
    "mean accuracy, points": "平均准确率，百分点",
    "raw": "不变换",
    "temperature": "温度缩放",
    "vector": "向量缩放",
    "temperature and biases": "一个温度 + 每类一个偏置",
    "bias for each class": "每类一个偏置",
    "bias tuned for mean IoU": "为平均 IoU 调的偏置",
    "… for mean accuracy, −1 % accuracy": "为平均准确率调的偏置（准确率至多降 1 个百分点）",
    "prior by EM, on vector": "向量缩放 + EM 估计先验",
    "decoded for Dice": "按 Dice 解码",
    "decoded for IoU": "按 IoU 解码",
    "recall, %": "召回率（%）",
    "share of pixels": "所占像素",
    "sky": "天空",
    "building": "建筑",
    "road": "道路",
    "pavement": "人行道",
    "tree": "树",
    "car": "汽车",
    "person": "行人",
    "pole": "杆",
    "sign": "标志",
    # adapters
    "tool, job": "工具，任务",
    "time, its own": "时间：原工具",
    "time, softmax2d": "时间：softmax2d",
    "memory, its own": "内存：原工具",
    "memory, softmax2d": "内存：softmax2d",
    "off from float64, its own": "与 float64 之差：原工具",
    "off from float64, softmax2d": "与 float64 之差：softmax2d",
    "nnU-Net, export (as planned)": "nnU-Net，导出（默认重采样）",
    "nnU-Net, export (PyTorch resampling)": "nnU-Net，导出（PyTorch 重采样）",
    "Hugging Face, post-processing": "Hugging Face，后处理",
    # streaming
    "source": "来源",
    "read with its library": "用库读取",
    "read by the system": "用系统调用读取",
    "to labels": "求标签",
    "and confidence": "求标签和置信度",
    "labels, of the library": "求标签，相对用库读取",
    "of the system": "求标签，相对系统调用",
    "memory": "内存",
    "10¹² pixels, 19 classes": "10¹² 像素，19 类",
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
    r"\| (\d+) to (\d+) \|": r"| \1 至 \2 |",
    r"\| logit adjustment, τ": "| logit 调整，τ",
    r"\| (\S+) of the labels(?= \|)": r"| 标签的 \1",
    r"\| (\S+) of the loss(?= \|)": r"| 损失的 \1",
    r"\| (MONAI|smp|MMSegmentation), ([^|]*)(?= \|)": r"| \1，\2",
    r"(?<=，)([^|]*) \+ gradient(?= \|)": r"\1 + 梯度",
    r"\| (npy|Zarr), (?=\w)": r"| \1，",
    r"(?<=，)uncompressed, ": "未压缩，",
    r"(?<=，)zstd, ": "zstd，",
    r"(?<=，)cached(?= \|)": "已缓存",
    r"(?<=，)cold(?= \|)": "未缓存",
    r"^(.*), (\d+) threads, (\S+) GiB; (.*); commit (\w+)\.$": (
        r"\1，\2 个线程，\3 GiB；\4；提交 \5。"
    ),
    r"^(\S+) GB of (\d+) classes in float32, budget (\w+); (.*), (\d+) processors, (\S+) GiB; "
    r"zarr (\S+); commit (\w+)\.$": (
        r"\1 GB，\2 类 float32，内存预算 \3；\4，\5 个处理器，\6 GiB；zarr \7；提交 \8。"
    ),
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
