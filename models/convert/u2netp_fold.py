#!/usr/bin/env python3
"""Reduce the public U²-Net-p ONNX file to what is used of it, with the same weights.

Usage: u2netp_fold.py u2netp.onnx out.onnx

The file as published computes the size of every Resize at run time (some 600 Shape/Gather/Concat
nodes) and puts out seven maps.  Here the sizes are constants, since the input is fixed at 320×320,
and only the first map (the fused one, sigmoid inside) is left: input `input` [1,3,320,320], output
`mask` [1,1,320,320].  Needs numpy, onnx and onnxruntime (which is asked once for the sizes).
"""
import argparse

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as TP
from onnx import helper as oh
from onnx import numpy_helper as nh

SIZE = [1, 3, 320, 320]


def resize_shapes(model):
    """Output shape of every Resize, from one run on zeros."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [n.output[0] for n in model.graph.node if n.op_type == "Resize"]
    probe.graph.output.extend(oh.make_tensor_value_info(n, TP.FLOAT, None) for n in names)
    opts = ort.SessionOptions()
    opts.log_severity_level = 3
    session = ort.InferenceSession(probe.SerializeToString(), opts, providers=["CPUExecutionProvider"])
    outs = session.run(names, {session.get_inputs()[0].name: np.zeros(SIZE, np.float32)})
    return {n: list(o.shape) for n, o in zip(names, outs)}


def fold(model):
    g = model.graph
    shapes = resize_shapes(model)
    rename = {g.input[0].name: "input", g.output[0].name: "mask"}
    producer = {o: n for n in g.node for o in n.output}
    inits = {i.name: i for i in g.initializer}

    for n in g.node:
        if n.op_type == "Resize":
            sizes = "size_" + "x".join(str(v) for v in shapes[n.output[0]])
            inits.setdefault(sizes, nh.from_array(np.array(shapes[n.output[0]], np.int64), sizes))
            # No region of interest, no scales. Both inputs are there because opset 11 asks for them.
            inits.setdefault("none", nh.from_array(np.zeros(0, np.float32), "none"))
            del n.input[1:]
            n.input.extend(["none", "none", sizes])

    keep, todo = set(), [g.output[0].name]
    while todo:  # what the first output needs, and no more
        name = todo.pop()
        if name in producer and id(producer[name]) not in keep:
            keep.add(id(producer[name]))
            todo.extend(producer[name].input)

    nodes = []
    for n in g.node:
        if id(n) in keep:
            ins = [rename.get(i, i) for i in n.input]
            outs = [rename.get(o, o) for o in n.output]
            node = oh.make_node(n.op_type, ins, outs, name=f"{n.op_type}_{len(nodes)}")
            node.attribute.extend(n.attribute)
            nodes.append(node)
    used = {i for n in nodes for i in n.input}
    graph = oh.make_graph(
        nodes, "u2netp",
        [oh.make_tensor_value_info("input", TP.FLOAT, SIZE)],
        [oh.make_tensor_value_info("mask", TP.FLOAT, [1, 1, *SIZE[2:]])],
        [inits[k] for k in sorted(inits) if k in used])
    out = oh.make_model(graph, opset_imports=model.opset_import, producer_name="u2netp_fold")
    out.ir_version = model.ir_version
    out.doc_string = "U2-Net-p (Qin et al.), first output only, sizes folded; Apache-2.0"
    onnx.checker.check_model(out, full_check=True)
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("source"), ap.add_argument("out")
    a = ap.parse_args()
    onnx.save(fold(onnx.load(a.source)), a.out)


if __name__ == "__main__":
    main()
