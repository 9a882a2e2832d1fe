"""Generated from proto/bespeak/v1 by `make proto`: do not edit."""
