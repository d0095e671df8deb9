"""Training, testing and prediction for mmdet and mmseg configs, as the command line uses them."""
