//! Holds no code: its manifest makes the wheel, the tests, the simulator and the load generator
//! agree on the features of third-party packages, so that one build serves them all.
//!
//! Cargo takes the union of the features that the selected packages ask for. Building only the
//! wheel asks for fewer than building the tests, and a package with other features is compiled
//! again, with everything above it. `tests/packaging/test_cargo.py` names what is missing here.
