"""The lines of the demonstration; in braces stand its values."""

from __future__ import annotations

LINES = {
    "1. softmax2d of shape {shape}: three classes, 4 × 4 pixels": (
        "1. softmax2d，形状 {shape}：三个类别，4 × 4 像素"
    ),
    "   sums over the classes, all 16 places: one, within {off:.0e}": (
        "   全部 16 个位置上，各类别概率之和都是 1，误差不超过 {off:.0e}"
    ),
    "   the pixel in row 1, column 2: logits [{logits}]   → probabilities [{probs}]": (
        "   行 1、列 2 的像素：logits [{logits}]   → 概率 [{probs}]"
    ),
    "   its label {label:.0f}, confidence {sure:.4f}, entropy {doubt:.4f} nats": (
        "   它的预测类别 {label:.0f}，置信度 {sure:.4f}，熵 {doubt:.4f} nat"
    ),
    "2. scikit-image's retina, {fine} pixels; logits of {classes} classes on a grid of {coarse}, "
    "coarser than the picture as those of networks are": (
        "2. scikit-image 的视网膜照片，{fine} 像素；{classes} 个类别的 logits 在 {coarse} "
        "的网格上，像网络输出那样比照片粗"
    ),
    "   cross_entropy2d_with_grad, {times} times in {seconds:.1f} s: loss and gradient of the "
    "{coarse} logits against strokes on the {fine} picture": (
        "   cross_entropy2d_with_grad 运行 {times} 次，用时 {seconds:.1f} 秒："
        "用 {fine} 照片上的笔画求 {coarse} logits 的损失和梯度"
    ),
    "   every class weighs the same; cross-entropy {first:.3f} → {last:.3f} nats": (
        "   各类别权重相同；交叉熵 {first:.3f} → {last:.3f} nat"
    ),
    "   segment(logits, size={size}): labels, confidence, entropy in {time:.0f} ms; "
    "{never:.0f} MB of interpolated logits are never built": (
        "   segment(logits, size={size})：{time:.0f} 毫秒得到预测类别、置信度和熵；"
        "{never:.0f} MB 的插值 logits 从未生成"
    ),
    "   mean confidence {mean:.3f}": "   平均置信度 {mean:.3f}",
    "3. evaluate: those logits and the pixels under strokes that the training has not seen": (
        "3. evaluate：用训练没有见过的笔画检验这些 logits（下面的报告为英文）"
    ),
    "4. time for {size} float32 with {threads} threads, each library in its own process": (
        "4. {size} float32、{threads} 个线程的用时，每个库在自己的进程中运行"
    ),
    "   {work} {library:<10} {time:8.1f} ms  {ratio:6.1f} × a copy": (
        "   {work} {library:<10} {time:8.1f} 毫秒  拷贝的 {ratio:6.1f} 倍"
    ),
    "probabilities": "概率",
    "labels and confidence": "预测类别和置信度",
    "labels and confidence, upsampled 4×": "预测类别和置信度，上采样 4 倍",
    "   {library} is not installed: not timed (`{install}`)": (
        "   没有安装 {library}：不计时（`{install}`）"
    ),
    "   {library} could not be timed: {last}": "   {library} 计时失败：{last}",
    "wrote {path}": "已写入 {path}",
    "{seconds:.1f} s": "用时 {seconds:.1f} 秒；图片和报告中的文字为英文",
}
