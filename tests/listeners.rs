//! Where clients connect: Unix sockets, and proxies that say who is behind them.

mod proxied;
mod unix;
