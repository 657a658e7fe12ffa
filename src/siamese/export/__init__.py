"""`siamese export`: the network as one ONNX file, for programs without PyTorch."""
