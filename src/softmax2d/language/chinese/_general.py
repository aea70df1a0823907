"""Help texts of the program itself, of info and of demo."""

from __future__ import annotations

APP: dict[str, str] = {
    "The output layer of semantic segmentation.": "语义分割的输出层。",
    (
        "Turns the class scores (logits) that a network gives for each pixel into labels and"
        " their probabilities, in one pass over the scores."
    ): "把网络给出的 logits（每个像素未归一化的类别得分）变成预测类别及其概率，得分只读一遍。",
    "Try:": "试试：",
    "a photograph segmented, start to end": "从头到尾分割一张照片",
    "labels of your own scores": "由自己的得分得到预测类别",
    "their probabilities": "得到各类别的概率",
    "a network over an image of any size": "让网络处理任意大小的图像",
    "how they compare with the truth": "把预测与真值标注比较",
    "a map that fits them to the truth": "拟合一个变换，使概率与真值相符",
    "how often each class occurs": "统计每个类别出现的次数",
    "a bias chosen for labels, as mean IoU asks": "为预测类别选择偏置，使平均 IoU 更高",
    "versions, instruction sets, threads": "查看版本、指令集、线程",
    "Exit codes:": "退出码：",
    "done": "完成",
    "wrong usage or input that cannot be used; nothing was written": (
        "用法错误或输入不可用；没有写入任何内容"
    ),
    "reading or writing failed (a full disk, say); nothing half-written remains": (
        "读写失败（例如磁盘已满）；不留下写了一半的文件"
    ),
    "stopped by ^C, SIGTERM, SIGHUP;": "被 ^C、SIGTERM、SIGHUP 中止",
    "the pipe of the output was closed": "输出管道已关闭",
}

INFO: dict[str, str] = {
    "Print versions, instruction sets, threads.": "打印版本、指令集和线程。",
    (
        "The lines that a bug report needs; of each optional package its version or"
        " `missing`, and the extras that hold it."
    ): "报告错误时需要的内容；每个可选的包给出版本或 `missing`，以及包含它的附加依赖。",
    "the build that a forced instruction set gives": "强制使用某个指令集时的构建",
    "Exit codes: 0 done; 2 wrong usage.": "退出码：0 完成；2 用法错误。",
}

DEMO: dict[str, str] = {
    "Segment a real photograph, start to end.": "从头到尾分割一张真实照片。",
    "From a few labelled strokes to pictures of the result.": (
        "从几笔带标注的笔画开始，到结果图片为止。"
    ),
    (
        "A linear classifier of each pixel's surroundings gives its logits on a coarse grid,"
        " as a network does. It is trained by cross_entropy2d_with_grad against strokes on a"
        " photograph of the retina that comes with scikit-image; nothing is downloaded."
        " segment labels the full picture, and evaluate judges it by strokes kept back. Then"
        " probabilities, labels, and labels from coarse logits are timed beside SciPy and"
        " PyTorch, where they are installed. It takes some ten seconds and needs the extra"
        " `demo`; of what is missing it names the command that installs it."
    ): (
        "线性分类器根据每个像素的周围给出粗网格上的 logits，与网络一样。它用"
        " cross_entropy2d_with_grad 按笔画训练，笔画画在 scikit-image 自带的视网膜照片上；无"
        "需下载任何内容。segment 得出整张照片的预测类别，evaluate 用留出的笔画检验。然后对概"
        "率、预测类别以及由低分辨率 logits 得到预测类别计时，若装有 SciPy 和 PyTorch，就与它"
        "们比较。大约需要十秒，并需要附加依赖 `demo`；缺少什么，就给出安装它的命令。"
    ),
    "Exit codes: 0 done; 2 wrong usage or a package is missing; 3 writing failed.": (
        "退出码：0 完成；2 用法错误或缺少某个包；3 写入失败。"
    ),
}
