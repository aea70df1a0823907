"""Texts of the options, in the order in which the commands name them."""

from __future__ import annotations

OPTIONS: dict[str, str] = {
    "Show the version and exit.": "显示版本并退出。",
    "Language of help and demo.  [default: what SOFTMAX2D_LANGUAGE says, else the locale]": (
        "帮助和演示所用的语言。  [默认：以 SOFTMAX2D_LANGUAGE 为准，否则按区域设置]"
    ),
    "Labels; the suffix decides the format.": "预测类别；后缀决定格式。",
    "The class axis; -1 for channels last.  [default: what the file says, else -3]": (
        "类别轴；通道在最后时为 -1。  [默认：以文件为准，否则 -3]"
    ),
    "What the numbers of LOGITS are.  [default: what the file says, else logits]": (
        "LOGITS 中数值的含义。  [默认：以文件为准，否则 logits]"
    ),
    "LOGITS of one channel: the second of two classes, the first has score 0.": (
        "LOGITS 只有一个通道：它是两类中的第二类，第一类得分为 0。"
    ),
    "Do not compare where files say that their pixels lie.": "不比较文件中记录的像素位置。",
    "Divides the logits; positive.  [default: 1]": "logits 除以的温度，须为正数。  [默认：1]",
    "The map that `softmax2d calibrate` fitted, in place of a temperature.": (
        "`softmax2d calibrate` 拟合的变换，代替温度。"
    ),
    "Interpolate the logits to this size (volumes: DxHxW).": (
        "把 logits 插值到这个大小（体数据：DxHxW）。"
    ),
    "Interpolate them to the size of this image or array, in any format.": (
        "把 logits 插值到这幅图像或这个数组的大小，格式不限。"
    ),
    "linear, nearest or nearest-exact; or one per spatial axis: nearest,linear,linear.": (
        "linear、nearest 或 nearest-exact；也可每个空间轴一个：nearest,linear,linear。"
    ),
    "Corner pixels lie on corner logits, not half inside.": (
        "角上的像素与角上的 logits 对齐，不向内偏半格。"
    ),
    "The most probable class, or what makes the image's expected Dice or IoU large.": (
        "取最可能的类别，或使图像的期望 Dice 或 IoU 较大的类别。"
    ),
    "Any of labels, confidence, margin, entropy.": "可选 labels、confidence、margin、entropy。",
    "How confidence, margin and entropy are stored; in 8bit 255 is 1.": (
        "置信度、间隔和熵的存储方式；8bit 时 255 表示 1。"
    ),
    "Class names: a,b,c or a text file with one a line.": (
        "类别名称：a,b,c，或每行一个的文本文件。"
    ),
    (
        "Colours: okabe-ito, cityscapes, voc, distinct, or a text file, `R G B` or `#rrggbb`"
        " a line."
    ): "颜色：okabe-ito、cityscapes、voc、distinct，或文本文件，每行一个 `R G B` 或 `#rrggbb`。",
    "Also a coloured picture, .png.": "另存一张彩色图片，.png。",
    "Which array of a file with several.": "文件有多个数组时用哪一个。",
    "GeoTIFF as Cloud Optimized GeoTIFF, with overviews.": (
        "把 GeoTIFF 写成带概览图的 Cloud Optimized GeoTIFF。"
    ),
    "What the run may take beside the program itself.": "除程序本身以外，运行可占用的内存。",
    "Logits of this value, any class, are no data.": "任何类别的 logits 等于此值，即为无数据。",
    "Missing chunks are the fill value, no error.": "缺失的块取填充值，不算错误。",
    "Label of pixels without data, no class.  [default: the largest that labels hold]": (
        "无数据像素的标签，不能是类别。  [默认：标签能存的最大值]"
    ),
    "Go on with a run that was stopped, killed or failed.": (
        "继续被中止、被强制结束或失败的运行。"
    ),
    "N processes of dask.distributed; threads of this one by default.": (
        "用 N 个 dask.distributed 进程；默认用本进程的线程。"
    ),
    "Workers of this dask.distributed scheduler, tcp://HOST:PORT.": (
        "使用这个 dask.distributed 调度器的工作进程，tcp://HOST:PORT。"
    ),
    "Account for every tile and pixel in FILE, as JSON.": (
        "把每个分块和像素的处理情况写入文件，JSON 格式。"
    ),
    "Of a folder's results: png, tif, npy, nii.gz, …  [default: as the files; pictures png]": (
        "文件夹中结果的格式：png、tif、npy、nii.gz、……  [默认：与文件相同；图片用 png]"
    ),
    "Replace existing files.": "替换已有的文件。",
    "No summary, no progress bar.": "不显示摘要和进度条。",
    "Probabilities: .npy, .zarr, .tif, …": "概率：.npy、.zarr、.tif、……",
    "How probabilities are stored; float is the logits' own kind, in 8bit 255 is 1.": (
        "概率的存储方式；float 与 logits 的类型相同，8bit 时 255 表示 1。"
    ),
    "Only the K most probable classes.": "只要最可能的 K 个类别。",
    "Labels.": "预测类别。",
    "Pixels at once; or HxW.  [default: what MODEL takes, else 512]": (
        "一次处理的像素数，或 HxW。  [默认：以 MODEL 为准，否则 512]"
    ),
    "Of neighbouring windows.": "相邻窗口重叠的比例。",
    "How much a window counts at each of its pixels.": "窗口在各像素上的权重。",
    "flips: the mean over all mirrored windows.": "flips：对所有镜像窗口取平均。",
    "What is averaged.": "对什么取平均。",
    "Windows at a time.": "一次处理的窗口数。",
    "The image's channel axis.  [default: what the file says]": (
        "图像的通道轴。  [默认：以文件为准]"
    ),
    "Bands of IMAGE that MODEL sees, counted from 1: 4,3,2.": (
        "MODEL 使用的 IMAGE 波段，从 1 数起：4,3,2。"
    ),
    "Factor of IMAGE's numbers: 1/10000; auto brings 8 bits to 0…1.": (
        "IMAGE 数值的乘数：1/10000；auto 把 8 位换算到 0…1。"
    ),
    "Subtracted after that, one or one a channel.  [default: what MODEL states, else 0]": (
        "换算后减去的数，一个或每个通道一个。  [默认：以 MODEL 为准，否则 0]"
    ),
    "Divides after that.  [default: what MODEL states, else 1]": (
        "再除以的数。  [默认：以 MODEL 为准，否则 1]"
    ),
    "Which output of MODEL holds the scores.": "得分在 MODEL 的哪个输出里。",
    "Where MODEL has channels.  [default: what its sizes say, else first]": (
        "MODEL 的通道在哪里。  [默认：按大小判断，否则在前]"
    ),
    "What MODEL returns.  [default: logits]": "MODEL 的输出是什么。  [默认：logits]",
    "MODEL returns one channel: the second of two classes, the first is 0.": (
        "MODEL 输出一个通道：它是两类中的第二类，第一类为 0。"
    ),
    "Any of labels, confidence, margin, entropy, probs, logits.": (
        "可选 labels、confidence、margin、entropy、probs、logits。"
    ),
    "How everything but labels is stored; in 8bit 255 is 1.": (
        "预测类别以外各项的存储方式；8bit 时 255 表示 1。"
    ),
    "Class names: a,b,c or a text file.  [default: what MODEL states]": (
        "类别名称：a,b,c，或文本文件。  [默认：以 MODEL 为准]"
    ),
    "Colours of the labels, as for segment.": "预测类别的颜色，同 segment。",
    "Pixels of this value in all channels are no data.  [default: what the file says]": (
        "所有通道都等于此值的像素为无数据。  [默认：以文件为准]"
    ),
    "What decoding IMAGE may take; windows and scores come on top.": (
        "解码 IMAGE 可占用的内存；窗口和得分另计。"
    ),
    "Go on with a run that was stopped or killed.": "继续被中止或被强制结束的运行。",
    "Account for every band and pixel in FILE, as JSON.": (
        "把每条带和每个像素的处理情况写入文件，JSON 格式。"
    ),
    "Pixels whose truth is N count nowhere.": "真值为 N 的像素不计入。",
    "Write everything to FILE: .html, .txt, .png or .json.": (
        "把全部结果写入文件：.html、.txt、.png 或 .json。"
    ),
    "Score each image as well; FILE, a .csv, takes a line for each.": (
        "也给每幅图像单独打分；文件为 .csv，每幅图像一行。"
    ),
    "Precision-recall curves and average precision in the report.": (
        "在报告中加入精确率-召回率曲线和平均精确率。"
    ),
    "Compare boundaries of label maps within 2 (pixels), 1.5mm, 30m.": (
        "比较标签图的边界，容差如 2（像素）、1.5mm、30m。"
    ),
    (
        "Distances between pixels along each axis, the slowest first (z,y,x), in the"
        " tolerance's unit.  [default: the files']"
    ): "各轴上的像素间距，变化最慢的轴在前（z,y,x），单位与容差相同。  [默认：以文件为准]",
    "Class names: a,b,c or a text file, one a line; or how many there are.": (
        "类别名称：a,b,c，或每行一个的文本文件；或者类别个数。"
    ),
    "Of label maps: 2 for pictures, 3 for volumes.  [default: what the file says, else 2]": (
        "标签图：2 为图片，3 为体数据。  [默认：以文件为准，否则 2]"
    ),
    "Bins of the confidence.": "置信度的分箱数。",
    "The size of TRUTH, where it is smaller than LOGITS, which are then interpolated down.": (
        "TRUTH 的大小；用于 TRUTH 比 LOGITS 小、须把 logits 缩小的情形。"
    ),
    "Which array of LOGITS, if it has several.": "LOGITS 有多个数组时用哪一个。",
    "Which array of TRUTH, if it has several.": "TRUTH 有多个数组时用哪一个。",
    "Replace an existing report.": "替换已有的报告。",
    "Print nothing, no progress bar.": "什么都不打印，也不显示进度条。",
    "The calibration, .json.": "校准结果，.json。",
    (
        "One temperature; a temperature and a bias for each class; a bias for each class; one"
        " temperature and biases; or whichever of these is best by cross-validation."
    ): (
        "依次为：一个温度；每个类别一个温度和一个偏置；每个类别一个偏置；一个温度和各类别偏置"
        "；或由交叉验证从中选出最好的。"
    ),
    (
        "Parts of the images for the cross-validation; 0: none.  [default: 5, or as many as images]"
    ): "交叉验证时把图像分成几份；0：不做。  [默认：5，或与图像数相同]",
    "What a pixel of each class counts: 1,2,…": "各类别每个像素的权重：1,2,…",
    "Reliability before and after, in FILE: .html, .txt, .png or .json.": (
        "把校准前后的可靠性写入文件：.html、.txt、.png 或 .json。"
    ),
    "Class names: a,b,c or a text file, one a line.": "类别名称：a,b,c，或每行一个的文本文件。",
    "When the data were taken; kept in OUT.": "数据的采集日期；存入 OUT。",
    "Print nothing.": "什么都不打印。",
    "The counts, .json.": "计数，.json。",
    "Write tables and charts to FILE: .html, .txt, .png or .json.": (
        "把表格和图写入文件：.html、.txt、.png 或 .json。"
    ),
    "Pixels whose label is N count nowhere.": "标注为 N 的像素不计入。",
    "How many, or names: a,b,c or a file, one a line.": (
        "类别个数，或名称：a,b,c，或每行一个的文件。"
    ),
    "Which array of files with several.": "文件有多个数组时用哪一个。",
    "3 for volumes, 2 for pictures.": "3 为体数据，2 为图片。",
    "The weights, .json: a list, one for each class.": "权重，.json：一列数，每个类别一个。",
    "Inverse frequency, median frequency, ENet's, or effective number of samples.": (
        "频率倒数、中位数频率、ENet 的公式，或有效样本数。"
    ),
    "As the formula gives them; to mean 1; to sum C.": "按公式原样；使平均为 1；使总和为 C。",
    "Of the effective number.": "有效样本数公式中的参数。",
    "The bias, .json, for --calibration.": "偏置，.json，用作 --calibration。",
    "What to raise: mean_iou, mean_accuracy, or recall:CLASS,CLASS.": (
        "要提高的指标：mean_iou、mean_accuracy 或 recall:CLASS,CLASS。"
    ),
    "The accuracy not to fall below on these images, 0 to 1.": (
        "在这些图像上不得低于的准确率，0 到 1。"
    ),
    "A bias for each class, or one share of the log prior; the latter needs --counts.": (
        "每个类别一个偏置，或先验对数的一个统一比例；后者需要 --counts。"
    ),
    "Counts of the training labels, of `softmax2d counts -o`.": (
        "训练标注的计数，由 `softmax2d counts -o` 写出。"
    ),
    "At most so many over all classes.": "对所有类别最多做几轮。",
    (
        "Estimate the gain on other images by so many folds; 0 turns it off.  [default: 5"
        " from ten images on]"
    ): "用几折估计在其他图像上的提高；0 表示不做。  [默认：图像达到十幅时为 5]",
    "Take what was found even where the folds find no gain.": (
        "即使各折没有提高，也采用找到的结果。"
    ),
    "Keep accuracy so far above its bound on these images, 0 to 1.": (
        "在这些图像上，准确率须比下限高出多少，0 到 1。"
    ),
    (
        "Nominal probability that other images like these lose no more accuracy than from the"
        " start to the bound here, 0.5 to 1.  [default: 0.8 without --margin]"
    ): (
        "名义概率：其他同类图像损失的准确率不超过这里从起点到下限的差，0.5 到 1。  [默认：不"
        "用 --margin 时为 0.8]"
    ),
    "Where pictures and report go; made if it is missing, files of earlier runs are replaced.": (
        "图片和报告的存放位置；没有就新建，替换以前运行的文件。"
    ),
    "Leave out the comparison with other libraries.": "不与其他库比较。",
}
