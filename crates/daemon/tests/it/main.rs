//! The whole system: the layout of the sources, and stories told with the real programs.

mod tidy;
