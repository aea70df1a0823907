"""Help texts of the commands that make results of scores: segment, probs, predict."""

from __future__ import annotations

SEGMENT: dict[str, str] = {
    "Label every pixel of LOGITS, and say how sure each label is.": (
        "由 LOGITS 得到每个像素的预测类别和置信度。"
    ),
    (
        "LOGITS holds class scores, (C, H, W), (N, C, H, W) or another shape with --axis, in"
        " float16, bfloat16, float32, float64 or integers: .npy, .npz, .zarr, .tif, .nii,"
        " .nii.gz, .h5 or .safetensors. It is read tile by tile within --memory, so that it"
        " may be larger than memory."
    ): (
        "LOGITS 存放各类别的得分，形状为 (C, H, W)、(N, C, H, W)，其他形状用 --axis 指明；数"
        "据类型为 float16、bfloat16、float32、float64 或整数；格式为 .npy、.npz、.zarr、.tif"
        "、.nii、.nii.gz、.h5 或 .safetensors。按 --memory 的限额分块读取，因此文件可以大于内"
        "存。"
    ),
    (
        "With --size or --like the logits are interpolated on the fly, and label and"
        " confidence are those of the interpolated ones, which are never built: a network's"
        " coarse scores become labels of the picture's size. Interpolation is that of"
        " torch.nn.functional.interpolate."
    ): (
        "用 --size 或 --like 时，logits 边读边插值；预测类别和置信度是插值以后的结果，但插值"
        "后的 logits 从不整体生成：网络的低分辨率得分直接变成与图片同样大小的标签图。插值"
        "方式与 torch.nn.functional.interpolate 相同。"
    ),
    "OUT decides the format of the labels:": "OUT 的后缀决定预测类别的存储格式：",
    "8 bits, 16 for more than 256 classes; with --palette its colours; one image": (
        "8 位，超过 256 个类别时 16 位；用 --palette 时带颜色；只存一幅图像"
    ),
    (
        "8, 16 or 32 bits, a page for each image of a batch; GeoTIFF where LOGITS or --like"
        " is one: coordinates, nodata, class names kept"
    ): (
        "8、16 或 32 位，批次中每幅图像一页；LOGITS 或 --like 是 GeoTIFF 时结果也是：保留坐标"
        "、nodata 和类别名称"
    ),
    "chunked as LOGITS is": "分块方式与 LOGITS 相同",
    "affine and header of LOGITS or --like kept": "保留 LOGITS 或 --like 的仿射矩阵和文件头",
    "the same numbers, any shape": "同样的数值，任意形状",
    (
        "Confidence, margin and entropy (in nats) go beside it: labels.confidence.tif beside"
        " labels.png, .npy beside .npy and so on, as floating-point numbers; with --as 8bit"
        " as 0…255, .png beside .png, where 255 is 1 (for the entropy, log C) and pixels"
        " without probabilities (NaN) are 0."
    ): (
        "置信度、间隔和熵（单位 nat）以浮点数写在旁边：labels.png 旁边是"
        " labels.confidence.tif，.npy 旁边是 .npy，依此类推；用 --as 8bit 时存为 0…255，.png"
        " 旁边是 .png，255 表示 1（对熵则表示 log C），没有概率的像素（NaN）为 0。"
    ),
    (
        "With --decode dice or iou a pixel goes to the class whose Dice or IoU in its image"
        " gains most by it, rather than to the most probable one: rare classes may gain"
        " pixels, overall accuracy mostly falls. Probabilities should be calibrated"
        " (--temperature). LOGITS is read four to six times."
    ): (
        "用 --decode dice 或 iou 时，像素不归最可能的类别，而归能使该图像的 Dice 或 IoU 提高"
        "最多的类别：稀有类别可能得到更多像素，总体准确率大多会下降。概率应先校准（"
        "--temperature）。LOGITS 要读四到六遍。"
    ),
    (
        "The preview is a coloured picture of at most 2048 pixels a side, with a legend if"
        " there are --classes."
    ): "预览是一张彩色图片，每边最多 2048 像素；给出 --classes 时带图例。",
    (
        "LOGITS may be a folder; OUT is then one, too, and every result has the name of its"
        " file. A file that fails is named, and the others are done: exit code 3. --resume"
        " does what is missing."
    ): (
        "LOGITS 可以是文件夹，这时 OUT 也是文件夹，每个结果与对应文件同名。出错的文件会列出，"
        "其余照常处理，退出码为 3。--resume 补做缺少的部分。"
    ),
    (
        "Results appear under their names complete or not at all. A run that was stopped,"
        " killed or that failed keeps its finished tiles in a hidden folder beside OUT: the"
        " same command with --resume goes on, to the same bytes."
    ): (
        "结果要么完整出现，要么不出现。被中止、被强制结束或失败的运行会把已完成的分块留在 OUT"
        " 旁边的隐藏文件夹里：用同样的命令加上 --resume 继续，结果逐字节相同。"
    ),
    "Examples:": "示例：",
    "wrong usage, or input that cannot be used": "用法错误，或输入不可用",
    "reading or writing failed; nothing half-written has a result's name": (
        "读写失败；结果文件名下不会有写了一半的内容"
    ),
    "stopped by ^C, SIGTERM, SIGHUP": "被 ^C、SIGTERM、SIGHUP 中止",
}

PROBS: dict[str, str] = {
    "Turn LOGITS into class probabilities.": "把 LOGITS 变成各类别的概率。",
    (
        "LOGITS and the other options are those of `softmax2d segment`. The result has the"
        " shape of LOGITS, or (..., C, H, W) of --size. With --top-k there are two results:"
        " the labels of the K most probable classes of each pixel in OUT, and their"
        " probabilities beside it."
    ): (
        "LOGITS 和其他选项与 `softmax2d segment` 相同。结果的形状与 LOGITS 相同，用 --size 时"
        "为 (..., C, H, W)。用 --top-k 时有两个结果：每个像素最可能的 K 个类别写入 OUT，它们"
        "的概率写在旁边。"
    ),
}

PREDICT: dict[str, str] = {
    "Run the network MODEL.onnx over IMAGE and label every pixel.": (
        "用网络 MODEL.onnx 处理 IMAGE，得到每个像素的预测类别。"
    ),
    (
        "IMAGE is a picture, GeoTIFF, volume or array of any size: .png, .jpg, .webp, .tif,"
        " .npy, .zarr, .nii, … MODEL takes windows (N, channels, H, W), or (N, H, W,"
        " channels), and gives class scores, also coarser than the image. Overlapping windows"
        " are blended; only a band of scores as high as a window is in memory."
    ): (
        "IMAGE 是任意大小的图片、GeoTIFF、体数据或数组：.png、.jpg、.webp、.tif、.npy、.zarr"
        "、.nii、…… MODEL 的输入是窗口 (N, channels, H, W) 或 (N, H, W, channels)，输出各类"
        "别的得分，分辨率可以低于图像。相互重叠的窗口会融合；内存中只保留一条与窗口等高的得分"
        "带。"
    ),
    (
        "MODEL sees (number × scale - mean) / std. 8 bits are brought to 0…1. Wider"
        " integers are divided by 65535 where they fill 16 bits and are given as they are"
        " otherwise, which is said; for Sentinel-2, say, give --scale 1/10000. Networks that"
        " take integers get the image as it is. An alpha band is left out where MODEL takes"
        " one channel less; pixels that it makes transparent are no data. Mean, deviation,"
        " window and class names are taken from MODEL where Deepness or Ultralytics wrote"
        " them there."
    ): (
        "MODEL 看到的是 (数值 × scale - mean) / std。8 位图像换算到 0…1。位数更多的整数，数"
        "值占满 16 位时除以 65535，否则原样输入，并会说明；例如 Sentinel-2 应给出 --scale"
        " 1/10000。输入为整数的网络直接得到原图像。MODEL 的通道数比图像少一个时，略去 alpha "
        "波段；透明的像素视为无数据。均值、标准差、窗口和类别名称若由 Deepness 或 Ultralytics"
        " 写在 MODEL 里，就从中读取。"
    ),
    (
        "What MODEL returns is looked at before anything is written: labels, one channel,"
        " probabilities and several outputs are refused with the option that says what they"
        " are."
    ): (
        "写文件之前先检查 MODEL 的输出：若是预测类别、单通道、概率或多个输出，就拒绝运行，并"
        "指出该用哪个选项说明。"
    ),
    "IMAGE may be a folder; OUT is then one, too, and every result has the name of its file.": (
        "IMAGE 可以是文件夹，这时 OUT 也是文件夹，每个结果与对应文件同名。"
    ),
    (
        "OUT takes the labels, or without them probabilities or logits; other outputs go beside it."
    ): "OUT 存放预测类别；不要预测类别时存放概率或 logits；其他输出写在旁边。",
    "reading, writing or the network failed; nothing half-written has a result's name": (
        "读写失败或网络出错；结果文件名下不会有写了一半的内容"
    ),
}
