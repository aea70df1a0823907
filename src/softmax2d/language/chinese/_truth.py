"""Help texts of the commands that need the truth, or labels."""

from __future__ import annotations

EVALUATE: dict[str, str] = {
    "Compare LOGITS, or labels, with the TRUTH: IoU, Dice, accuracy, calibration.": (
        "把 LOGITS 或标签图与真值 TRUTH 比较：IoU、Dice、准确率、校准。"
    ),
    (
        "LOGITS holds class scores as for `softmax2d segment`, or one label a pixel: the"
        " label map that `segment`, `predict` or any other program wrote. What it holds"
        " decides, and is said first. Of labels alone there is no calibration. TRUTH holds"
        " the class of every pixel as an integer, in one of the same formats or as .png (grey"
        " or palette). Where TRUTH is larger than LOGITS, the logits are interpolated to it"
        " on the fly; where it is smaller, --size must say so."
    ): (
        "LOGITS 存放类别得分（同 `softmax2d segment`），或者每个像素一个预测类别，即"
        " `segment`、`predict` 或其他程序写出的标签图。具体是哪一种由内容判断，并在输出的"
        "开头说明。只有预测类别时没有校准结果。TRUTH 以整数存放每个像素的真值类别，格式同上，"
        "也可以是 .png（灰度或调色板）。TRUTH 比 LOGITS 大时，logits 边读边插值到它的大小；比"
        " LOGITS 小时，须用 --size 指明。"
    ),
    "Both may be folders, whose files pair by their names without suffix: all are added up.": (
        "两者都可以是文件夹，文件按不带后缀的名字配对，结果合计。"
    ),
    (
        "Both are read tile by tile within --memory, so that they may be larger than memory"
        " (a .png is read whole)."
    ): "两者都按 --memory 的限额分块读取，因此可以大于内存（.png 整个读入）。",
    "The report's suffix decides what it holds:": "报告的内容由后缀决定：",
    "tables, reliability diagram, confusion matrix; one file, nothing else needed": (
        "表格、可靠性图、混淆矩阵；单个文件，不依赖其他文件"
    ),
    "the tables as text": "文本表格",
    "the two diagrams; needs matplotlib": "两张图；需要 matplotlib",
    "every measure, and the counts, which Statistics.from_dict reads": (
        "全部指标和计数，可用 Statistics.from_dict 读取"
    ),
    (
        "All measures are of all pixels together, and large objects decide them. --per-image"
        " scores.csv also scores each image by itself: the means over images, which medical"
        " papers report, are then printed beside them, with the images of the lowest IoU, and"
        " the .csv has IoU and Dice of every image. Images are called after their files, and"
        " entries of a batch scan[0], scan[1], …."
    ): (
        "所有指标都由全部像素合并计算，大物体说了算。--per-image scores.csv 还会给每幅图"
        "像单独打分：同时打印各图像的平均值（医学论文常报告这种平均值）和 IoU 最低的图像，"
        ".csv 中有每幅图像的 IoU 和 Dice。图像以文件名命名，批次中的各项名为 scan[0]、scan[1]"
        "、……。"
    ),
    (
        "--curves counts each class's probability at all thresholds: average precision, AUROC"
        " and the precision-recall curve. It takes several times as long."
    ): (
        "--curves 统计每个类别的概率在所有阈值下的表现：平均精确率、AUROC 和精确率-召回率曲线。"
        "耗时是平时的数倍。"
    ),
    (
        "--boundary-tolerance 2 also compares the boundaries of a label map with the truth's:"
        " boundary IoU, boundary F-score and surface Dice, within 2 pixels; within 1.5 mm as"
        " 1.5mm, by the voxel sizes of a NIfTI, or 30 m as 30m, by the pixel sizes of a"
        " projected GeoTIFF. Needs SciPy."
    ): (
        "--boundary-tolerance 2 还会比较标签图与真值的边界：边界 IoU、边界 F 值和表面"
        " Dice，容差为 2 像素；1.5 毫米写作 1.5mm，按 NIfTI 的体素大小计算；30 米写作 30m，按"
        "投影坐标系的 GeoTIFF 的像素大小计算。需要 SciPy。"
    ),
    (
        "The report appears complete or not at all. Until then what is counted is kept in a"
        " hidden folder beside it, or beside the --summary: a run that was stopped, killed or"
        " failed goes on with the same command and --resume, and ends with the same numbers."
    ): (
        "报告要么完整出现，要么不出现。在此之前，已统计的内容保存在报告或 --summary 旁边的隐"
        "藏文件夹里：被中止、被强制结束或失败的运行，用同样的命令加上 --resume 继续，最后得到"
        "同样的数值。"
    ),
    "wrong usage, or input that cannot be used; nothing was written": (
        "用法错误，或输入不可用；没有写入任何内容"
    ),
    "reading or writing failed; nothing half-written remains": "读写失败；不留下写了一半的文件",
}

CALIBRATE: dict[str, str] = {
    "Fit a map of LOGITS to the TRUTH that makes the truth most likely.": (
        "按真值 TRUTH 拟合 LOGITS 的变换，使真值的似然最大。"
    ),
    (
        "LOGITS and TRUTH are as for `softmax2d evaluate`, with axes of a batch for many"
        " images; or two folders, whose files pair by their names without suffix. Where TRUTH"
        " has another size, the logits are interpolated to it on the fly. Both are gone"
        " through several times, tile by tile."
    ): (
        "LOGITS 和 TRUTH 与 `softmax2d evaluate` 相同：多幅图像用批次轴，或者给出两个文件夹，"
        "文件按不带后缀的名字配对。TRUTH 大小不同时，logits 边读边插值到它的大小。两者都要分"
        "块读取多遍。"
    ),
    (
        "OUT is taken by `segment`, `probs`, `predict` and `evaluate` as --calibration, and"
        " by softmax2d.calibrate.Calibration.load in Python. Use data that the network was"
        " not trained on. The table is of the images that were fitted to; the likelihood is"
        " also estimated by cross-validation, on images left out of the fit, and `--method"
        " best` ranks the methods by it. All methods but temperature need SciPy."
    ): (
        "OUT 可作为 `segment`、`probs`、`predict` 和 `evaluate` 的 --calibration，也可在"
        " Python 中用 softmax2d.calibrate.Calibration.load 读取。请使用网络训练时没有用过的数"
        "据。表格针对参与拟合的图像；似然还会在拟合时留出的图像上用交叉验证估计，`--method"
        " best` 据此给各方法排名。除 temperature 外，所有方法都需要 SciPy。"
    ),
}

COUNTS: dict[str, str] = {
    "Count how often each class occurs in LABELS: files, or folders of files.": (
        "统计 LABELS（文件或文件夹）中每个类别出现的次数。"
    ),
    (
        "Labels are integers in any format that `softmax2d evaluate` takes as TRUTH. Files"
        " are read piece by piece within --memory. OUT is taken by `weights` and `tune`, and"
        " by softmax2d.balance.ClassCounts.load in Python, where counts of parts can be"
        " added."
    ): (
        "标注是整数，格式与 `softmax2d evaluate` 的 TRUTH 相同。文件按 --memory 的限额逐块读"
        "取。OUT 可供 `weights` 和 `tune` 使用，也可在 Python 中用"
        " softmax2d.balance.ClassCounts.load 读取，各部分的计数可以相加。"
    ),
}

WEIGHTS: dict[str, str] = {
    "Weights of the classes for a loss, from counts or from LABELS.": (
        "由计数或 LABELS 得出损失的类别权重。"
    ),
    (
        "LABELS is a file that `softmax2d counts -o` wrote, or what `counts` takes; or plain"
        " counts, one for each class: 100,20,5 itself, a .json with [100, 20, 5] or"
        ' {"road": 100, "car": 20}, a .csv with such a line or with a line `road,100` for'
        " each class, a .npy of shape (C,). OUT is a list of numbers for the weight= of a"
        " loss."
    ): (
        "LABELS 是 `softmax2d counts -o` 写出的文件，或 `counts` 接受的标注文件；也可以是每个"
        '类别一个的计数：直接写 100,20,5，内容为 [100, 20, 5] 或 {"road": 100, "car": 20}'
        " 的 .json，含有这样一行或每个类别一行 `road,100` 的 .csv，形状为 (C,) 的 .npy。OUT "
        "是一列数，用作损失的 weight=。"
    ),
    "Exit codes: as of `softmax2d counts`.": "退出码：同 `softmax2d counts`。",
}

TUNE: dict[str, str] = {
    "Choose a bias for the classes of LOGITS that raises a measure against the TRUTH.": (
        "为 LOGITS 的各类别选择偏置，使对照 TRUTH 的指标更高。"
    ),
    (
        "LOGITS and TRUTH are as for `softmax2d evaluate`, with axes of a batch for many"
        " images; or two folders, whose files pair by their names without suffix. Both are"
        " gone through many times, tile by tile. Use data that the network was not trained"
        " on. From ten images on, folds of these estimate the gain on other images; where"
        " they find none, OUT holds the start (--force)."
    ): (
        "LOGITS 和 TRUTH 与 `softmax2d evaluate` 相同：多幅图像用批次轴，或者给出两个文件夹，"
        "文件按不带后缀的名字配对。两者都要分块读取许多遍。请使用网络训练时没有用过的数据。图"
        "像达到十幅时，用各折估计在其他图像上的提高；若各折没有提高，OUT 存放起点（见 --force"
        "）。"
    ),
    (
        "OUT holds temperature and bias, for --calibration of `segment`, `predict` and"
        " `evaluate`. It is for labels, not for probabilities."
    ): (
        "OUT 存放温度和偏置，用作 `segment`、`predict` 和 `evaluate` 的 --calibration。它只用"
        "于预测类别，不用于概率。"
    ),
}
