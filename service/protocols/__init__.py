"""Other people's contracts, one file each: KServe, Open Inference, TorchServe."""
