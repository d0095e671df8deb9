"""Models as ONNX files, in floating point or in 8 bits, and how such a file is run and measured."""
