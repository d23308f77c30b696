"""The network of `refine=learned`, and how it becomes an ONNX file.

In go R, G, B and the matte, less a half; what R, G, B differ by from the remembered background, 0 where none is known; and whether
it is, 0 or 1: [n, 8, h, w], the first seven of a range of 1, h and w in multiples of 16. Out comes [n, 1, h, w], what is to be
added to the matte. A small U-Net (Ronneberger et al., 2015) that begins at half the resolution and gives squares of 2x2 pixels.
Channels come in sixteens, which is what a CPU's vectors hold.
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# R, G, B, matte, three differences, known.
INPUTS = 8
CHANNELS = (16, 16, 32, 16)
# Beyond 0 and 1 errors count so much, in training.
BEYOND = 0.1


def convolution(i, o, stride=1, size=3):
    return nn.Sequential(nn.Conv2d(i, o, size, stride=stride, padding=(size - 1) // 2, bias=False), nn.BatchNorm2d(o))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        a, b, c, d = CHANNELS
        self.i, self.i2 = convolution(INPUTS, a, 2, 4), convolution(a, a)
        self.d1, self.e1 = convolution(a, b, 2), convolution(b, b)
        self.d2, self.e2 = convolution(b, c, 2), convolution(c, c)
        self.d3, self.e3 = convolution(c, d, 2), convolution(d, d)
        self.u2, self.f2 = convolution(d, c, size=1), convolution(c, c)
        self.u1, self.f1 = convolution(c, b, size=1), convolution(b, b)
        self.u0, self.f0 = convolution(b, a, size=1), convolution(a, a)
        self.o = nn.Conv2d(a, 4, 1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)
        # It begins with the matte as it is.
        nn.init.zeros_(self.o.weight)
        nn.init.zeros_(self.o.bias)

    def forward(self, x):
        r = F.relu
        x0 = r(self.i2(r(self.i(x))))
        x1 = r(self.e1(r(self.d1(x0))))
        x2 = r(self.e2(r(self.d2(x1))))
        x3 = r(self.e3(r(self.d3(x2))))
        up = lambda t: F.interpolate(t, scale_factor=2, mode="bilinear", align_corners=False)
        y = r(self.f2(x2 + up(self.u2(x3))))
        y = r(self.f1(x1 + up(self.u1(y))))
        y = r(self.f0(x0 + up(self.u0(y))))
        return F.pixel_shuffle(self.o(y), 2)

    def correct(self, x):
        """The matte."""
        matte = self(x) + x[:, 3:4] + 0.5
        within = matte.clamp(0, 1)
        return within + BEYOND * (matte - within)


def export(network, path):
    """Writes an ONNX file, batch norms folded into the convolutions."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, numbers = [], []

    def constant(value):
        numbers.append(numpy_helper.from_array(np.asarray(value), f"c{len(numbers)}"))
        return numbers[-1].name

    def op(kind, inputs, output=None, **attributes):
        output = output or f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(module, x, relu=True):
        layer, norm = (module[0], module[1]) if isinstance(module, nn.Sequential) else (module, None)
        w = layer.weight.detach()
        b = torch.zeros(len(w)) if layer.bias is None else layer.bias.detach()
        if norm is not None:
            s = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
            w, b = w * s[:, None, None, None], (b - norm.running_mean) * s + norm.bias.detach()
        x = op(
            "Conv",
            [x, constant(w.numpy()), constant(b.numpy())],
            kernel_shape=list(w.shape[2:]),
            strides=list(layer.stride),
            pads=[layer.padding[0]] * 4,
        )
        return op("Relu", [x]) if relu else x

    def up(module, x):
        scales = constant(np.array([1, 1, 2, 2], np.float32))
        how = dict(mode="linear", coordinate_transformation_mode="half_pixel")
        return op("Resize", [conv(module, x, relu=False), "", scales], **how)

    n = network
    x0 = conv(n.i2, conv(n.i, "in"))
    x1 = conv(n.e1, conv(n.d1, x0))
    x2 = conv(n.e2, conv(n.d2, x1))
    x3 = conv(n.e3, conv(n.d3, x2))
    y = conv(n.f2, op("Add", [x2, up(n.u2, x3)]))
    y = conv(n.f1, op("Add", [x1, up(n.u1, y)]))
    y = conv(n.f0, op("Add", [x0, up(n.u0, y)]))
    op("DepthToSpace", [conv(n.o, y, relu=False)], output="out", blocksize=2, mode="CRD")
    port = lambda name, channels: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
    graph = helper.make_graph(nodes, "edges", [port("in", INPUTS)], [port("out", 1)], numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
