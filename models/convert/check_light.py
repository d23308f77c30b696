#!/usr/bin/env python3
"""Run a selfie-segmentation TFLite file and the ONNX file made of it side by side.

Usage: check_light.py model.tflite model.onnx [picture.rgb24 ...]

Prints the largest difference of the two masks over random pictures and, if given, over raw RGB pictures
of the network's size; exits 1 if it is over 1e-3.  The TFLite file uses MediaPipe's own operator
Convolution2DTransposeBias, which the stock LiteRT runtime lacks; it is the built-in TRANSPOSE_CONV with a
bias, and is written as that in a copy in memory.  Needs numpy, onnxruntime and ai-edge-litert.
"""
import struct
import sys

import flatbuffers
import numpy as np
import onnxruntime as ort
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

LIMIT = 1e-3


def stock_operators(path):
    """The model with MediaPipe's operator replaced by the built-in one."""
    model = schema.ModelT.InitFromPackedBuf(open(path, "rb").read(), 0)
    graph = model.subgraphs[0]
    for index, code in enumerate(model.operatorCodes):
        if code.customCode != b"Convolution2DTransposeBias":
            continue
        code.customCode = None
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE_CONV
        code.version = 3  # the one with a bias
        for op in graph.operators:
            if op.opcodeIndex != index:
                continue
            padding, sw, sh = struct.unpack("<3i", bytes(op.customOptions)[:12])
            options = schema.TransposeConvOptionsT()
            # TfLitePadding counts 1 = same, 2 = valid; the schema 0 and 1.
            options.padding, options.strideW, options.strideH = padding - 1, sw, sh
            op.builtinOptionsType = schema.BuiltinOptions.TransposeConvOptions
            op.builtinOptions, op.customOptions = options, None
            shape = schema.TensorT()
            shape.name, shape.shape, shape.type = b"output_shape", [4], schema.TensorType.INT32
            data = schema.BufferT()
            data.data = np.array(graph.tensors[op.outputs[0]].shape, np.int32).view(np.uint8)
            model.buffers.append(data)
            shape.buffer = len(model.buffers) - 1
            graph.tensors.append(shape)
            x, weights, bias = op.inputs
            op.inputs = [len(graph.tensors) - 1, weights, x, bias]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main():
    tflite, onnx, *pictures = sys.argv[1:]
    # Plain kernels: the XNNPACK ones trade accuracy for speed.
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    lite = Interpreter(model_content=stock_operators(tflite), experimental_op_resolver_type=kernels)
    lite.allocate_tensors()
    session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    _, _, h, w = session.get_inputs()[0].shape
    rng = np.random.default_rng(1)
    # Random blocks: on plain noise the mask is 0 throughout, which proves little.
    block = np.ones((1, 16, 16, 1), np.float32)
    inputs = [np.kron(rng.random((1, h // 16, w // 16, 3), np.float32), block) for _ in range(8)]
    for p in pictures:
        inputs.append((np.fromfile(p, np.uint8).reshape(1, h, w, 3) / 255).astype(np.float32))
    worst, low, high = 0.0, 1.0, 0.0
    for x in inputs:
        lite.set_tensor(lite.get_input_details()[0]["index"], x)
        lite.invoke()
        a = lite.get_tensor(lite.get_output_details()[0]["index"])[0, :, :, 0]
        b = session.run(["mask"], {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})[0][0, 0]
        worst, low, high = max(worst, float(abs(a - b).max())), min(low, float(a.min())), max(high, float(a.max()))
    print(f"{onnx}: largest difference from LiteRT {worst:.1e} over {len(inputs)} pictures, masks {low:.3f} to {high:.3f}")
    return worst > LIMIT


if __name__ == "__main__":
    sys.exit(main())
