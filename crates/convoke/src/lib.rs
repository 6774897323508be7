//! Audio and video calls that always ring, in one program.
