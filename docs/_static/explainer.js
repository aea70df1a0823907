// The interactive explainer of docs/concepts/explainer.md: softmax, its derivative, the loss and
// what float32 makes of them, for one pixel of three classes. It fills #softmax2d-explainer, and asks
// nothing of the network.
(() => {
  "use strict";

  const WORDS = {
    en: {
      classes: ["sky", "tree", "road"],
      scores: "Logits and probabilities",
      scoresHint: "Drag the three sliders, or use the arrow keys.",
      logit: (name) => `logit of ${name}`, number: (name) => `logit of ${name}, as a number`, temperature: "Temperature T",
      cases: "Cases", ordinary: "ordinary", leads: "leads by", overflow: "overflow", underflow: "underflow",
      label: "Label", confidence: "Confidence", margin: "Margin", entropy: "Entropy",
      labelHint: "the largest p", confidenceHint: "the largest p itself",
      marginHint: "largest p − second", entropyHint: "0: sure; 1.099: no idea",
      jacobian: "Jacobian", jacobianHint: "Row i, column j: how p of i moves when the logit of j grows.",
      loss: "Loss and gradient", target: "True class", crossEntropy: "Cross-entropy −log p",
      gradientHint: "A step of training lowers logits with positive gradient, raises the others.",
      scaled: "By z / T; for the gradient by z, divide by T.",
      rounding: "Rounding: log p in float32",
      roundingHint: "Every step rounded to float32, here in your browser. Below each value: its relative error.",
      naive: "log(softmax(z))", library: "z − max − log Σ", ours: "softmax2d", truth: "float64",
      lost: "lost", chosen: "Logits z", probs: "Probabilities in float32", plain: "eᶻ / Σ", shifted: "max subtracted",
      fine: "No trouble here: all of them are right to six digits.",
      partly: "Where ✗ stands, some digits are lost already.",
      overflows: "eᶻ passes the largest float32, 3.4·10³⁸: ∞ / ∞ is not a number (NaN).",
      vanishes: "eᶻ falls below the smallest float32, 1.4·10⁻⁴⁵, and becomes 0: its logarithm is −∞.",
      loses: "1 + a tiny sum is rounded, and what made p differ from 1 is lost. softmax2d keeps the tiny sum apart.",
    },
    zh: {
      classes: ["天空", "树木", "道路"],
      scores: "logits 与概率",
      scoresHint: "拖动三个滑块，或使用方向键。",
      logit: (name) => `${name}的 logit`, number: (name) => `${name}的 logit，输入数值`, temperature: "温度 T",
      cases: "例子", ordinary: "普通情形", leads: "领先", overflow: "上溢", underflow: "下溢",
      label: "预测类别", confidence: "置信度", margin: "间隔", entropy: "熵",
      labelHint: "p 最大的类别", confidenceHint: "最大的 p",
      marginHint: "最大的 p − 第二大的 p", entropyHint: "0：确定；1.099：毫无把握",
      jacobian: "雅可比矩阵", jacobianHint: "第 i 行第 j 列：类别 j 的 logit 增大时，类别 i 的 p 怎样变化。",
      loss: "损失与梯度", target: "真实类别", crossEntropy: "交叉熵 −log p",
      gradientHint: "训练的一步会降低梯度为正的 logit，升高梯度为负的 logit。",
      scaled: "这里对 z / T 求导；对 z 的梯度还要除以 T。",
      rounding: "舍入：float32 下的 log p",
      roundingHint: "每一步都舍入到 float32，直接在浏览器里计算。每个数的下方是它的相对误差。",
      naive: "log(softmax(z))", library: "z − max − log Σ", ours: "softmax2d", truth: "float64",
      lost: "丢失", chosen: "logits z", probs: "float32 下的概率", plain: "eᶻ / Σ", shifted: "先减去最大值",
      fine: "这里没有问题：各种算法都有六位正确数字。",
      partly: "标有 ✗ 的数已经丢失了几位数字。",
      overflows: "eᶻ 超过 float32 的最大值 3.4·10³⁸：∞ / ∞ 不是数（NaN）。",
      vanishes: "eᶻ 小于 float32 的最小值 1.4·10⁻⁴⁵，变成 0，取对数得 −∞。",
      loses: "1 加上一个极小的和，相加时被舍入，p 与 1 的差别就此丢失。softmax2d 把这个极小的和单独保存。",
    },
  };
  const CASES = [
    ["ordinary", "", [1, 2, 0]], ["leads", " 10", [10, 0, -40]], ["leads", " 15", [15, 0, -40]],
    ["leads", " 18", [18, 0, -40]], ["overflow", " e¹⁰⁰⁰", [1000, 999, 998]], ["underflow", " e⁻¹¹⁰", [0, -110, -120]],
  ];
  const THREE = [0, 1, 2];
  const f32 = Math.fround;
  const first = (z) => z.indexOf(Math.max(...z));

  // The arithmetic. In float64: the truth; the class with the largest logit is kept out of the sum.
  function logSoftmax(z) {
    const top = first(z);
    const rest = z.reduce((sum, v, i) => (i === top ? sum : sum + Math.exp(v - z[top])), 0);
    return z.map((v, i) => (i === top ? 0 : v - z[top]) - Math.log1p(rest));
  }

  // In float32, each step rounded. As the formula stands:
  function plainSoftmax(z) {
    const e = z.map((v) => f32(Math.exp(v)));
    const sum = e.reduce((a, b) => f32(a + b));
    return e.map((v) => f32(v / sum));
  }
  const naiveLog = (z) => plainSoftmax(z).map((p) => f32(Math.log(p)));
  // The largest logit subtracted first, as libraries do:
  const shift = (z) => z.map((v) => f32(v - Math.max(...z)));
  const shiftedSoftmax = (z) => plainSoftmax(shift(z));
  function libraryLog(z) {
    const d = shift(z);
    const log = f32(Math.log(d.map((v) => f32(Math.exp(v))).reduce((a, b) => f32(a + b))));
    return d.map((v) => f32(v - log));
  }
  // As softmax2d does: what the difference rounds away is kept, and the winner stays out of the sum.
  function oursLog(z) {
    const top = first(z);
    let rest = 0;
    z.forEach((v, i) => {
      if (i === top) return;
      const high = f32(v - z[top]);
      const part = f32(high - v);
      const low = f32(f32(v - f32(high - part)) + f32(-z[top] - part)); // v − max = high + low
      const e = f32(Math.exp(high));
      rest = f32(rest + f32(e + f32(e * low)));
    });
    const log = f32(Math.log1p(rest));
    return z.map((v, i) => (i === top ? f32(0 - log) : f32(f32(v - z[top]) - log)));
  }
  const off = (value, truth) => (value === truth ? 0 : Math.abs((value - truth) / truth)); // NaN stays NaN

  // Words for numbers.
  const minus = (text) => text.replace("-", "−");
  const fixed = (x, digits = 3) => minus((Math.abs(x) < 0.5 / 10 ** digits ? 0 : x).toFixed(digits));
  function scientific(x, digits = 4) {
    if (Number.isNaN(x)) return "NaN";
    if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
    if (x === 0) return "0";
    if (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5) return minus(String(Number(x.toPrecision(digits))));
    const [mantissa, power] = x.toExponential(digits - 1).split("e");
    const high = [...String(Number(power))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");
    return minus(`${mantissa}·10`) + high;
  }

  // The page. Everything is made of elements and text.
  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  const card = (title, hint, ...children) =>
    make("section", { class: "s2x-card" }, make("h3", {}, title), make("p", { class: "s2x-hint" }, hint), ...children);

  function start(root) {
    const words = WORDS[document.documentElement.lang.toLowerCase().startsWith("zh") ? "zh" : "en"];
    const state = { z: [...CASES[0][2]], temperature: 1, target: 1 };
    const outputs = {}; // by name: elements that show a number
    const controls = { slider: [], number: [], target: [], cases: [] };

    function output(name, attributes = {}) {
      outputs[name] = make("span", { class: "s2x-value", "data-name": name, ...attributes });
      return outputs[name];
    }
    function show(name, value, text) {
      outputs[name].dataset.value = String(value);
      outputs[name].textContent = text;
    }
    const colour = (i) => `s2x-class-${i}`;
    const name = (i) => make("span", { class: `s2x-name ${colour(i)}` }, words.classes[i]);

    function scoreRow(i) {
      const range = { type: "range", min: -10, max: 10, step: 0.1, class: colour(i) };
      const slider = make("input", { ...range, "aria-label": words.logit(words.classes[i]), "data-name": `slider${i}` });
      const number = make("input", {
        type: "number", step: "any", "aria-label": words.number(words.classes[i]), "data-name": `number${i}`,
      });
      controls.slider.push(slider);
      controls.number.push(number);
      for (const input of [slider, number]) {
        input.addEventListener("input", () => {
          if (input.value === "" || !Number.isFinite(Number(input.value))) return;
          state.z[i] = Number(input.value);
          update(input);
        });
      }
      number.addEventListener("blur", () => update());
      const bar = make("div", { class: `s2x-bar ${colour(i)}` }, make("div", { class: "s2x-fill", "data-name": `bar${i}` }));
      bar.append(output(`p${i}`));
      return make("div", { class: "s2x-row" }, name(i), slider, number, make("span", { class: "s2x-arrow", "aria-hidden": "true" }, "→"), bar);
    }

    function temperatureRow() {
      const slider = make("input", { type: "range", min: 0.2, max: 5, step: 0.1, id: "s2x-temperature", "data-name": "temperature" });
      slider.addEventListener("input", () => {
        state.temperature = Number(slider.value);
        update();
      });
      controls.temperature = slider;
      const label = make("label", { for: "s2x-temperature" }, words.temperature);
      return make("div", { class: "s2x-row s2x-temperature" }, label, slider, output("T"));
    }

    function caseButtons() {
      const group = make("div", { class: "s2x-buttons", role: "group", "aria-label": words.cases });
      CASES.forEach(([key, ending, z], k) => {
        const button = make("button", { type: "button", "data-name": `case${k}` }, words[key] + ending);
        button.addEventListener("click", () => {
          Object.assign(state, { z: [...z], temperature: 1 });
          update();
        });
        controls.cases.push(button);
        group.append(button);
      });
      return group;
    }

    const tiles = () => make("dl", { class: "s2x-tiles" }, ...["label", "confidence", "margin", "entropy"].map((key) =>
      make("div", {}, make("dt", {}, words[key]), make("dd", {}, output(key)), make("dd", { class: "s2x-hint" }, words[`${key}Hint`]))));

    function table(heads, cell, attributes) {
      const row = (i) => make("tr", {}, make("th", { scope: "row" }, name(i)), ...heads.map((_, j) => make("td", { "data-head": heads[j] }, ...cell(i, j))));
      const head = heads.map((h) => make("th", { scope: "col" }, h));
      return make("table", attributes, make("thead", {}, make("tr", {}, make("td"), ...head)), make("tbody", {}, ...THREE.map(row)));
    }

    function lossParts() {
      const choices = make("fieldset", { class: "s2x-targets" }, make("legend", {}, words.target));
      for (const i of THREE) {
        const radio = make("input", { type: "radio", name: "s2x-target", "data-name": `target${i}` });
        radio.addEventListener("change", () => {
          state.target = i;
          update();
        });
        controls.target.push(radio);
        choices.append(make("label", {}, radio, name(i)));
      }
      const loss = make("p", { class: "s2x-loss" }, words.crossEntropy, " = ", output("loss"));
      const bars = THREE.map((i) => make("div", { class: "s2x-gradient" }, name(i),
        make("div", { class: "s2x-axis" }, make("div", { class: `s2x-fill ${colour(i)}`, "data-name": `gradientBar${i}` })),
        output(`gradient${i}`)));
      return [choices, loss, ...bars, make("p", { class: "s2x-hint s2x-scaled" }, words.scaled)];
    }

    const logs = ["naive", "library", "ours", "truth"], probs = ["plain", "shifted", "trueProbs"];
    const withError = (key, i) => [output(`${key}${i}`), ...(key.startsWith("tr") ? [] : [output(`${key}Off${i}`, { class: "s2x-value s2x-off" })])];
    const numbers = (keys, heads) => table(heads, (i, j) => withError(keys[j], i), { class: `s2x-numbers s2x-of-${keys.length}` });
    root.replaceChildren(
      card(words.scores, words.scoresHint, ...THREE.map(scoreRow), temperatureRow(), tiles()),
      make("div", { class: "s2x-pair" },
        card(`${words.jacobian} pᵢ (δᵢⱼ − pⱼ)`, words.jacobianHint,
          table(words.classes, (i, j) => [output(`jacobian${i}${j}`)], { class: "s2x-jacobian" }), make("p", { class: "s2x-hint s2x-scaled" }, words.scaled)),
        card(`${words.loss} p − y`, words.gradientHint, ...lossParts())),
      card(words.rounding, words.roundingHint, caseButtons(),
        make("p", { class: "s2x-chosen" }, `${words.chosen} = `, output("z")),
        numbers(logs, logs.map((key) => words[key])),
        make("p", { class: "s2x-verdict", "aria-live": "polite", "data-name": "verdict" }),
        make("h4", {}, words.probs),
        numbers(probs, [words.plain, words.shifted, words.truth])),
      make("p", { class: "s2x-hidden", "aria-live": "polite", "data-name": "live" }),
    );
    const find = (key) => root.querySelector(`[data-name="${key}"]`);

    function showControls(changed) {
      THREE.forEach((i) => {
        if (controls.slider[i] !== changed) controls.slider[i].value = state.z[i];
        if (controls.number[i] !== changed) controls.number[i].value = state.z[i];
        controls.slider[i].setAttribute("aria-valuetext", fixed(state.z[i], 1));
        controls.target[i].checked = i === state.target;
      });
      controls.temperature.value = state.temperature;
      show("T", state.temperature, fixed(state.temperature, 1));
      controls.cases.forEach((button, k) => {
        const on = state.temperature === 1 && CASES[k][2].every((v, i) => v === state.z[i]);
        button.setAttribute("aria-pressed", on);
      });
      for (const note of root.querySelectorAll(".s2x-scaled")) note.hidden = state.temperature === 1;
    }

    function showProbabilities(p, log) {
      const sorted = [...p].sort((a, b) => b - a), label = first(log);
      p.forEach((v, i) => {
        show(`p${i}`, v, fixed(v));
        find(`bar${i}`).style.width = `${100 * v}%`;
      });
      show("label", label, words.classes[label]);
      outputs.label.className = `s2x-value ${colour(label)}`;
      show("confidence", sorted[0], fixed(sorted[0]));
      show("margin", sorted[0] - sorted[1], fixed(sorted[0] - sorted[1]));
      const entropy = p.reduce((sum, v, i) => (v > 0 ? sum - v * log[i] : sum), 0);
      show("entropy", entropy, fixed(entropy));
    }

    function showDerivatives(p, log) {
      const others = (i) => p.reduce((sum, v, k) => (k === i ? sum : sum + v), 0); // 1 − p, exact also where p is nearly 1
      for (const i of THREE) {
        for (const j of THREE) {
          const value = p[i] * (i === j ? others(i) : -p[j]), cell = outputs[`jacobian${i}${j}`];
          show(`jacobian${i}${j}`, value, fixed(value));
          cell.parentElement.style.setProperty("--share", `${Math.round(220 * Math.abs(value))}%`);
          cell.parentElement.className = value < 0 ? "s2x-negative" : "s2x-positive";
        }
        const slope = i === state.target ? -others(i) : p[i], bar = find(`gradientBar${i}`);
        show(`gradient${i}`, slope, fixed(slope));
        bar.style.width = `${50 * Math.abs(slope)}%`;
        bar.style.left = `${50 + Math.min(0, 50 * slope)}%`;
      }
      const loss = 0 - log[state.target];
      show("loss", loss, scientific(loss));
    }

    function showError(key, value, truth) {
      const error = off(value, truth), small = error <= 1e-6;
      const text = Number.isFinite(error) && value !== 0 ? `${scientific(100 * error, 2)} %` : words.lost;
      show(key, error, error === 0 ? "✓ 0 %" : `${small ? "✓" : "✗"} ${text}`);
      outputs[key].className = `s2x-value s2x-off ${small ? "s2x-good" : error <= 1e-3 ? "s2x-fair" : "s2x-bad"}`;
    }

    function showRounding() {
      const z = state.z.map((v) => f32(v / state.temperature)), truth = logSoftmax(z);
      const values = {
        naive: naiveLog(z), library: libraryLog(z), ours: oursLog(z), truth,
        plain: plainSoftmax(z), shifted: shiftedSoftmax(z), trueProbs: truth.map(Math.exp),
      };
      for (const [key, list] of Object.entries(values)) {
        const right = logs.includes(key) ? truth : values.trueProbs;
        list.forEach((v, i) => {
          show(`${key}${i}`, v, scientific(v));
          if (!key.startsWith("tr")) showError(`${key}Off${i}`, v, right[i]);
        });
      }
      show("z", z.join(), `(${z.map((v) => scientific(v, 7)).join(", ")})`);
      const said = [];
      if (z.some((v) => f32(Math.exp(v)) === Infinity)) said.push(words.overflows);
      if (z.some((v) => f32(Math.exp(v)) === 0)) said.push(words.vanishes);
      const errors = ["naive", "library"].flatMap((key) => values[key].map((v, i) => off(v, truth[i])));
      if (off(values.library[first(z)], truth[first(z)]) > 1e-5) said.push(words.loses);
      find("verdict").textContent = said.join(" ") || (errors.every((e) => e <= 1e-6) ? words.fine : words.partly);
    }

    let later = 0;
    function update(changed) {
      const scaled = state.z.map((v) => v / state.temperature), log = logSoftmax(scaled), p = log.map(Math.exp);
      showControls(changed);
      showProbabilities(p, log);
      showDerivatives(p, log);
      showRounding();
      clearTimeout(later); // said when the hand rests, not at each step of a drag
      later = setTimeout(() => {
        find("live").textContent = `${words.label} ${outputs.label.textContent}, ${words.confidence} ${outputs.confidence.textContent}`;
      }, 500);
    }
    update();
  }

  function begin() {
    const root = document.getElementById("softmax2d-explainer");
    if (root) start(root);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
