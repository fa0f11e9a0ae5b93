//! What a socket is given before it is connected must be found on the one that takes its place.

use std::os::fd::BorrowedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::sockopt as option;
use rustix::net::sockopt::Timeout;

/// Copies options and the non-blocking flag. An option that the one socket has and the other cannot have is left.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    let _whatever_fits = [
        option::tcp_nodelay(from).and_then(|value| option::set_tcp_nodelay(to, value)),
        option::socket_keepalive(from).and_then(|value| option::set_socket_keepalive(to, value)),
        option::tcp_keepidle(from).and_then(|value| option::set_tcp_keepidle(to, value)),
        option::tcp_keepintvl(from).and_then(|value| option::set_tcp_keepintvl(to, value)),
        option::tcp_keepcnt(from).and_then(|value| option::set_tcp_keepcnt(to, value)),
        option::tcp_user_timeout(from).and_then(|value| option::set_tcp_user_timeout(to, value)),
        option::socket_linger(from).and_then(|value| option::set_socket_linger(to, value)),
        option::socket_oobinline(from).and_then(|value| option::set_socket_oobinline(to, value)),
        option::socket_reuseaddr(from).and_then(|value| option::set_socket_reuseaddr(to, value)),
        option::socket_timeout(from, Timeout::Recv).and_then(|value| option::set_socket_timeout(to, Timeout::Recv, value)),
        option::socket_timeout(from, Timeout::Send).and_then(|value| option::set_socket_timeout(to, Timeout::Send, value)),
        // The kernel doubles what it is given.
        option::socket_recv_buffer_size(from).and_then(|value| option::set_socket_recv_buffer_size(to, value / 2)),
        option::socket_send_buffer_size(from).and_then(|value| option::set_socket_send_buffer_size(to, value / 2)),
        option::ip_tos(from).and_then(|value| option::set_ip_tos(to, value)),
        fcntl_getfl(from).and_then(|flags| {
            let kept = OFlags::NONBLOCK | OFlags::APPEND;
            fcntl_getfl(to).and_then(|own| fcntl_setfl(to, own.difference(kept) | (flags & kept)))
        }),
    ];
}
