"""The contract of docs/backbone-contract.md, tried on one backbone point by point: `mmbackbones check`."""
