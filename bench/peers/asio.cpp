/* The servers of the benchmark on Boost.Asio. Built twice, for epoll and for io_uring. Callbacks,
 * as coroutines took 3 % more CPU per request.
 *
 * Each connection has a buffer of its own, as a receive into it is always under way. It lives as
 * long as one of its callbacks, and then closes its sockets.
 */
#include "peer.h"

#include <array>
#include <boost/asio.hpp>
#include <memory>
#include <span>
#include <utility>

namespace
{

namespace asio = boost::asio;
using asio::const_buffer;
using boost::system::error_code;

#ifdef BOOST_ASIO_HAS_IO_URING
constexpr char PROGRAM[] = "asio_uring";
#else
constexpr char PROGRAM[] = "asio_epoll";
#endif

constexpr size_t PIECES = 16, PIECES_SIZE = 1024 * 1024; /* of the pattern, in one send */

/* The executor by its type: any_io_executor would cost calls through pointers. */
using executor = asio::io_context::executor_type;
using stream = asio::basic_stream_socket<asio::generic::stream_protocol, executor>;

peer options;

/* Bytes on their way from one socket to another, or the same. The buffer is not zeroed, so that of
 * its pages only those are there that are used. */
struct direction {
    stream &from, &to;
    size_t size;
    std::unique_ptr<char[]> bytes{ new char[size] };

    asio::mutable_buffer all()
    {
        return { bytes.get(), size };
    }
};

class connection : public std::enable_shared_from_this<connection>
{
  public:
    explicit connection(asio::io_context &context) : client_(context), server_(context)
    {
    }
    stream &client()
    {
        return client_;
    }
    void start();

  private:
    /* A callback that keeps the connection. On an error it is not called, and so lets go of it. */
    template <typename function> auto on_success(function act)
    {
        return [self = shared_from_this(), act](error_code error, size_t size = 0) {
            if (!error)
                act(size);
        };
    }

    void forward(direction &way);
    void connect();
    void abandon();
    void receive_request();
    void receive_bulk();
    void receive_source_request();
    void send_pieces();

    stream client_, server_; /* the server's only for a proxy */
    const bool is_proxy_ = options.mode == PEER_PROXY;
    direction up_{ client_, is_proxy_ ? server_ : client_, PEER_BLOCK_SIZE };
    direction down_{ server_, client_, is_proxy_ ? size_t{ PEER_BLOCK_SIZE } : 0 };
    uint32_t window_ = 0; /* see peer_answer() */
    uint64_t count_ = 0;  /* of the sink */
    peer_source source_{};
    std::array<const_buffer, PIECES> pieces_;
};

/* ---- Echo and proxy -------------------------------------------------------------------------- */

void connection::forward(direction &way)
{
    auto on_sent = [this, &way, self = shared_from_this()](error_code error, size_t) {
        if (error)
            abandon();
        else
            forward(way);
    };
    auto on_received = [this, &way, on_sent](error_code error, size_t size) mutable {
        if (error == asio::error::eof)
            way.to.shutdown(stream::shutdown_send, error);
        else if (error)
            abandon();
        else
            asio::async_write(way.to, const_buffer(way.bytes.get(), size), std::move(on_sent));
    };
    way.from.async_read_some(way.all(), std::move(on_received));
}

/* Ends the other direction, too. Not by close(), which cancels what is under way: on io_uring that
 * of Boost 1.81, with liburing 2.3, completes other operations by mistake, which then hang. */
void connection::abandon()
{
    error_code ignored;
    client_.shutdown(stream::shutdown_both, ignored);
    server_.shutdown(stream::shutdown_both, ignored);
}

void connection::connect()
{
    asio::generic::stream_protocol::endpoint to(&options.to, options.to_size);
    server_.async_connect(to, on_success([this](size_t) {
                              error_code ignored;
                              server_.set_option(asio::ip::tcp::no_delay(true), ignored);
                              forward(up_);
                              forward(down_);
                          }));
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

void connection::receive_request()
{
    client_.async_read_some(
        up_.all(), on_success([this](size_t size) {
            peer_bytes answers = peer_answer(options.mode, &window_, up_.bytes.get(), size);
            if (answers.size == 0) {
                receive_request();
                return;
            }
            asio::async_write(client_, const_buffer(answers.bytes, answers.size),
                              on_success([this](size_t) {
                                  if (options.mode == PEER_HTTP)
                                      receive_request();
                              }));
        }));
}

/* ---- Sink and source ------------------------------------------------------------------------- */

void connection::receive_bulk()
{
    auto on_received = [this, self = shared_from_this()](error_code error, size_t size) {
        count_ += size;
        if (!error) {
            receive_bulk();
        } else if (error == asio::error::eof) {
            peer_put_count(count_, up_.bytes.get());
            asio::async_write(client_, const_buffer(up_.bytes.get(), PEER_COUNT_SIZE),
                              on_success([](size_t) {}));
        }
    };
    client_.async_read_some(up_.all(), std::move(on_received));
}

void connection::receive_source_request()
{
    client_.async_read_some(up_.all(), on_success([this](size_t size) {
                                if (peer_source_receive(&source_, up_.bytes.get(), size))
                                    send_pieces();
                                else
                                    receive_source_request();
                            }));
}

/* Left to itself, async_write() sends at most 64 KiB in one call. */
void connection::send_pieces()
{
    size_t count = 0;
    for (size_t size = 0; count < PIECES && size < PIECES_SIZE; count++) {
        peer_bytes piece = peer_source_next(&source_);
        if (piece.size == 0)
            break;
        pieces_[count] = const_buffer(piece.bytes, piece.size);
        size += piece.size;
    }
    if (count == 0)
        return;
    auto most_at_once = [](error_code error, size_t) { return error ? 0 : PIECES_SIZE; };
    asio::async_write(client_, std::span(pieces_.data(), count), most_at_once,
                      on_success([this](size_t) { send_pieces(); }));
}

/* ---- Accepting ------------------------------------------------------------------------------- */

void connection::start()
{
    switch (options.mode) {
    case PEER_ECHO:
        return forward(up_);
    case PEER_HTTP:
    case PEER_HTTP_CLOSE:
        return receive_request();
    case PEER_SINK:
        return receive_bulk();
    case PEER_SOURCE:
        return receive_source_request();
    case PEER_PROXY:
        return connect();
    }
}

template <typename protocol>
void accept(asio::io_context &context, asio::basic_socket_acceptor<protocol, executor> &listener)
{
    auto next = std::make_shared<connection>(context);
    listener.async_accept(next->client(), [&context, &listener, next](error_code error) {
        if (!error)
            next->start();
        accept(context, listener);
    });
}

template <typename protocol> void serve(const protocol &family)
{
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    asio::basic_socket_acceptor<protocol, executor> listener(context, family, options.listener);
    accept(context, listener);
    peer_announce(&options, PROGRAM);
    context.run();
}

} // namespace

int main(int argc, char **argv)
{
    options = peer_start(argc, argv, PROGRAM, "a server on Boost.Asio, to compare weir with");
    try {
        if (options.is_unix)
            serve(asio::local::stream_protocol());
        else
            serve(asio::ip::tcp::v4());
    } catch (const std::exception &error) {
        peer_die(PROGRAM, "io_context", error.what());
    }
}
