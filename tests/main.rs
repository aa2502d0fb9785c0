//! The outer tests: the gateway seen from outside, through the binary that ships.
