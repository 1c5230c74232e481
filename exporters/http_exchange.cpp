#include "vigil/exporters/http_exchange.h"

#include <gnutls/gnutls.h>
#include <strings.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "vigil/exporters/signal_mask.h"
#include "vigil/monitor/float_environment.h"

namespace vigil {
namespace {

using Clock = std::chrono::steady_clock;
using Phase = HttpConnections::Phase;

constexpr std::size_t kAnswerHeadBytes = std::size_t{7} << 10;    // of a connection's memory, beside the head of a request
constexpr std::uint64_t kDrainedBytes = std::uint64_t{64} << 10;  // of a body that is too large, so that its sender reads the answer

// All that 0.9.75 makes of it look_at_head and parse_target look at as well; and it answers twice to who leaves out Host.
constexpr int kStrictness = MHD_VERSION < 0x01000000 ? 0 : 1;

void count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

HttpResponse come_again(unsigned status, const char* text) {
  HttpResponse response = text_response(status, text);
  response.headers = {{"Retry-After", "1"}};
  return response;
}

HttpResponse unauthorized() {
  HttpResponse response = text_response(401, "A user and a password are needed here.\n");
  response.headers = {{"WWW-Authenticate", "Basic realm=\"vigil\", charset=\"UTF-8\""}};
  return response;
}

// Headers that decide where a request ends.
struct Framing {
  std::string_view content_length, transfer_encoding;
  int content_lengths = 0, transfer_encodings = 0, hosts = 0;
};

MHD_Result look_at_header(void* framing_of, MHD_ValueKind, const char* name, const char* value) {
  auto& framing = *static_cast<Framing*>(framing_of);
  const std::string_view text = value == nullptr ? std::string_view{} : std::string_view{value};
  if (strcasecmp(name, "Content-Length") == 0) {
    ++framing.content_lengths;
    framing.content_length = text;
  } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
    ++framing.transfer_encodings;
    framing.transfer_encoding = text;
  } else if (strcasecmp(name, "Host") == 0) {
    ++framing.hosts;
  }
  return MHD_YES;
}

// Whether two readers of these headers could disagree.
bool is_ambiguous(const Framing& framing) {
  if (framing.hosts > 1 || framing.content_lengths > 1 || framing.transfer_encodings > 1) return true;
  if (framing.transfer_encodings == 0) return false;
  return framing.content_lengths > 0 || strcasecmp(std::string(framing.transfer_encoding).c_str(), "chunked") != 0;
}

using Headers = std::vector<std::pair<std::string, std::string>>;

void set_header(Headers& headers, const std::string& name, const std::string& value) {
  for (auto& [known, old] : headers) {
    if (strcasecmp(known.c_str(), name.c_str()) == 0) {
      old = value;
      return;
    }
  }
  headers.emplace_back(name, value);
}

// Body of an answer, lent to the library without copying it; others may be sending it too.
struct LentBody {
  ~LentBody() {
    if (holder != nullptr) holder->release(body);
  }
  HeldBodies* holder;  // null: not held
  HeldBodies::Body body;
};

MHD_Response* make_response(std::unique_ptr<LentBody> lent, const Headers& headers) {
  MHD_Response* made = MHD_create_response_from_buffer_with_free_callback_cls(
      lent->body->size(), const_cast<char*>(lent->body->data()), [](void* body) { delete static_cast<LentBody*>(body); }, lent.get());
  if (made == nullptr) throw std::bad_alloc();
  static_cast<void>(lent.release());  // the library's callback deletes it
  for (const auto& [name, value] : headers) MHD_add_response_header(made, name.c_str(), value.c_str());
  return made;
}

int verify_client(gnutls_session_t session) {
  const auto* server = static_cast<const TlsServer*>(gnutls_db_get_ptr(session));
  try {
    if (server != nullptr && is_client_accepted(*server, session)) return 0;
  } catch (...) {
    return GNUTLS_E_MEMORY_ERROR;
  }
  gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);  // the library would close without a word
  return GNUTLS_E_CERTIFICATE_ERROR;
}

// The library keeps the parameters in the connection's memory, for which that is not meant: some 300 fill it, and version 0.9.75 then waits
// for nothing in place of answering. Nobody asks it for them. These bytes are its own, which it is about to change in the same way.
void leave_no_parameters(char* target) {
  char* const mark = std::strchr(target, '?');
  if (mark != nullptr) mark[1] = '\0';
}

HttpConnections::Connection* context_of(MHD_Connection* connection) {
  const MHD_ConnectionInfo* context = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return context == nullptr ? nullptr : static_cast<HttpConnections::Connection*>(context->socket_context);
}

}  // namespace

bool HeldBodies::try_hold(const Body& body, bool has_way) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::size_t& holders = holders_[body.get()];
  const std::uint64_t held = bytes();
  if (holders == 0) {
    if (!has_way && held > 0 && held + body->size() > most_bytes_) {
      holders_.erase(body.get());
      return false;
    }
    bytes_.store(held + body->size(), std::memory_order_relaxed);
  }
  ++holders;
  return true;
}

void HeldBodies::release(const Body& body) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto holders = holders_.find(body.get());
  if (holders == holders_.end() || --holders->second > 0) return;
  holders_.erase(holders);
  bytes_.fetch_sub(body->size(), std::memory_order_relaxed);
}

// One request, from its first line to the end of its answer.
struct HttpExchange::Exchange {
  Connection* connection = nullptr;  // null: not tracked
  std::optional<HttpTarget> target;
  std::string method;
  std::string body;
  std::uint64_t body_bytes = 0;
  bool is_begun = false;  // its head is there
  std::shared_ptr<const WebSecurity> security;
  std::optional<BasicCredentials> unchecked;
  // Written by the thread of the checks before it resumes the connection, which publishes it.
  std::optional<PasswordCheck::Verdict> verdict;
};

HttpExchange::HttpExchange(const HttpServerSettings& settings, HttpServer::Answer answer)
    : answer_(std::move(answer)),
      limits_(settings.limits),
      threads_(settings.threads),
      methods_(settings.methods),
      connections_(settings.limits),
      bodies_(settings.limits.answer_bytes),
      passwords_(settings.limits.waiting_passwords, settings.limits.waiting_passwords_per_address),
      security_(std::make_shared<const WebSecurity>()) {}

std::unique_ptr<HttpExchange::Loops> HttpExchange::start_loops(std::shared_ptr<const TlsServer> tls) {
  auto loops = std::make_unique<Loops>();
  loops->exchange = this;
  loops->tls = std::move(tls);
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME;
  std::vector<MHD_OptionItem> options;
  if (threads_ > 1) options.push_back({MHD_OPTION_THREAD_POOL_SIZE, threads_, nullptr});  // a pool of one is a server without a pool
  if (loops->tls) {
    const auto add_text = [&](MHD_OPTION option, const std::string& text) {
      if (!text.empty()) options.push_back({option, 0, const_cast<char*>(text.c_str())});
    };
    flags |= MHD_USE_TLS;
    add_text(MHD_OPTION_HTTPS_PRIORITIES, loops->tls->priorities);
    add_text(MHD_OPTION_HTTPS_MEM_CERT, loops->tls->certificate);
    add_text(MHD_OPTION_HTTPS_MEM_KEY, loops->tls->key);
    add_text(MHD_OPTION_HTTPS_MEM_TRUST, loops->tls->client_ca);
  }
  options.push_back({MHD_OPTION_END, 0, nullptr});
  // Never reached, as HttpConnections is stricter: version 0.9.75 keeps a lock when it is. Of each loop, as one may have them all.
  const auto most_connections = static_cast<unsigned>((limits_.connections + 2 * HttpConnections::kMostDoomed) * threads_);
  const SignalMask all_blocked;                                                                // the threads inherit it
  const DefaultFloatEnvironment environment;                                                   // and this
  loops->daemon = MHD_start_daemon(flags, 0, nullptr, nullptr, &on_request, loops.get(),       //
                                   MHD_OPTION_EXTERNAL_LOGGER, &on_log, this,                  //
                                   MHD_OPTION_URI_LOG_CALLBACK, &on_target, loops.get(),       //
                                   MHD_OPTION_UNESCAPE_CALLBACK, &leave_encoded, nullptr,      //
                                   MHD_OPTION_NOTIFY_COMPLETED, &on_completed, loops.get(),    //
                                   MHD_OPTION_NOTIFY_CONNECTION, &on_connection, loops.get(),  //
                                   MHD_OPTION_CONNECTION_LIMIT, most_connections,              //
                                   MHD_OPTION_CONNECTION_MEMORY_LIMIT, static_cast<std::size_t>(limits_.head_bytes) + kAnswerHeadBytes,  //
                                   MHD_OPTION_STRICT_FOR_CLIENT, kStrictness,                                                            //
                                   MHD_OPTION_ARRAY, options.data(), MHD_OPTION_END);
  if (loops->daemon == nullptr) {
    throw std::runtime_error("the server's threads did not start; is the process at its limit of threads or open files?");
  }
  return loops;
}

void HttpExchange::set_security(std::shared_ptr<const WebSecurity> security) {
  const std::lock_guard<std::mutex> lock(security_mutex_);
  security_ = std::move(security);
}

std::shared_ptr<const WebSecurity> HttpExchange::security() const {
  const std::lock_guard<std::mutex> lock(security_mutex_);
  return security_;
}

std::size_t HttpExchange::index_of(unsigned status) noexcept {
  return static_cast<std::size_t>(std::find(kHttpStatuses.begin(), kHttpStatuses.end(), status) - kHttpStatuses.begin());
}

// The library decodes nothing: parse_target does, and says what is malformed.
std::size_t HttpExchange::leave_encoded(void*, MHD_Connection*, char* text) { return std::strlen(text); }

// What the library would print is about single clients; vigil prints nothing into a training program. The errors that it answers by itself
// are to be seen nowhere else.
void HttpExchange::on_log(void* self, const char* format, std::va_list arguments) {
  constexpr std::string_view kAnswered = "Error processing request (HTTP response code is %u";
  if (std::string_view(format).substr(0, kAnswered.size()) != kAnswered) return;
  count(static_cast<HttpExchange*>(self)->answers_[index_of(va_arg(arguments, unsigned))]);
}

void HttpExchange::on_connection(void* of_loops, MHD_Connection* connection, void** context, MHD_ConnectionNotificationCode code) {
  const auto& loops = *static_cast<const Loops*>(of_loops);
  HttpConnections& connections = loops.exchange->connections_;
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
    if (*context != nullptr) connections.closed(static_cast<Connection*>(*context));
    return;
  }
  *context = connections.started(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
  if (!loops.tls) return;
  const auto session = static_cast<gnutls_session_t>(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
  gnutls_db_set_ptr(session, const_cast<TlsServer*>(loops.tls.get()));  // of a store that is not used, the only pointer that is free
  gnutls_session_set_verify_function(session, &verify_client);
  request_client_certificate(*loops.tls, session);
}

// The first line of a request is there. What it answers is the request's, until on_completed.
void* HttpExchange::on_target(void* of_loops, const char* target, MHD_Connection* connection) {
  HttpExchange& self = *static_cast<const Loops*>(of_loops)->exchange;
  try {
    auto exchange = std::make_unique<Exchange>();
    exchange->connection = context_of(connection);
    if (target != nullptr) {
      exchange->target = parse_target(target);
      leave_no_parameters(const_cast<char*>(target));
    }
    if (exchange->connection != nullptr) self.connections_.set_phase(exchange->connection, Phase::receiving, Clock::now());
    return exchange.release();
  } catch (...) {
    return nullptr;
  }
}

void HttpExchange::on_completed(void* of_loops, MHD_Connection*, void** of_exchange, MHD_RequestTerminationCode code) {
  HttpExchange& self = *static_cast<const Loops*>(of_loops)->exchange;
  const std::unique_ptr<Exchange> exchange(static_cast<Exchange*>(*of_exchange));
  *of_exchange = nullptr;
  if (!exchange) return;
  if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK && exchange->connection != nullptr) {
    self.connections_.set_phase(exchange->connection, Phase::idle, Clock::now());
  }
  if (exchange->is_begun) self.in_flight_.fetch_sub(1, std::memory_order_release);  // pairs with in_flight(); the answer is out
}

// Called at least twice for a request: with its head, then with each piece of its body, then once more to be answered, and again when a
// connection is resumed then.
MHD_Result HttpExchange::on_request(void* of_loops, MHD_Connection* connection, const char*, const char* method, const char* version,
                                    const char* upload, std::size_t* upload_size, void** of_exchange) {
  HttpExchange& self = *static_cast<const Loops*>(of_loops)->exchange;
  auto* exchange = static_cast<Exchange*>(*of_exchange);
  if (exchange == nullptr) return MHD_NO;  // out of memory; closes the connection
  try {
    if (!exchange->is_begun) {
      exchange->is_begun = true;
      self.in_flight_.fetch_add(1, std::memory_order_relaxed);  // whatever the answer publishes comes later in this thread, and carries it
      count(self.requests_);
      std::optional<HttpResponse> refusal = self.look_at_head(*exchange, connection, method, version);
      return refusal ? self.queue(exchange, connection, std::move(*refusal)) : MHD_YES;
    }
    if (*upload_size > 0) return self.take_body(*exchange, upload, upload_size);
    return self.answer_whole(*exchange, connection);
  } catch (...) {
    try {
      return self.queue(exchange, connection, text_response(500, "vigil could not answer this request.\n"));
    } catch (...) {
      return MHD_NO;
    }
  }
}

// The answer of a request that has no right to another one.
std::optional<HttpResponse> HttpExchange::look_at_head(Exchange& exchange, MHD_Connection* connection, const char* method,
                                                       const char* version) {
  exchange.method = method;
  exchange.security = security();
  const MHD_ConnectionInfo* head = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  if (head != nullptr && head->header_size > static_cast<std::size_t>(limits_.head_bytes)) {
    return text_response(431, "The request's line and headers are too large.\n");
  }
  Framing framing;
  MHD_get_connection_values(connection, MHD_HEADER_KIND, &look_at_header, &framing);
  const bool lacks_host = framing.hosts == 0 && std::strcmp(version, "HTTP/1.0") != 0;
  if (!exchange.target || lacks_host || is_ambiguous(framing)) return text_response(400, "The request is malformed.\n");
  if (in_flight_.load(std::memory_order_relaxed) > limits_.requests && !connections_.cut_stalled(Clock::now())) {
    count(overloads_);
    return come_again(503, "Too many requests are being answered.\n");
  }
  if (!rate_.try_take(exchange.security->rate_interval_us, exchange.security->rate_burst, Clock::now())) {
    count(rate_limited_);
    return come_again(429, "There are more requests than rate_limit of the web config file allows.\n");
  }
  const auto row =
      std::find_if(methods_.begin(), methods_.end(), [&](const HttpMethods& entry) { return entry.path == exchange.target->path; });
  const std::vector<std::string> allowed = row == methods_.end() ? std::vector<std::string>{"GET", "HEAD"} : row->methods;
  if (std::find(allowed.begin(), allowed.end(), exchange.method) == allowed.end()) {
    std::string names;
    for (const std::string& name : allowed) names += (names.empty() ? "" : ", ") + name;
    HttpResponse refusal = text_response(405, "Only " + names + " can be asked of this path.\n");
    refusal.headers = {{"Allow", names}};
    return refusal;
  }
  if (auto refusal = look_at_user(exchange, connection)) return refusal;
  const std::string_view digits = framing.content_length;  // the library has looked at it
  if (digits.size() > 18 || (!digits.empty() && std::stoll(std::string(digits)) > limits_.body_bytes)) {
    return text_response(413, "The request's body is too large.\n");
  }
  return std::nullopt;
}

std::optional<HttpResponse> HttpExchange::look_at_user(Exchange& exchange, MHD_Connection* connection) {
  const std::shared_ptr<const UserTable>& users = exchange.security->users;
  if (!users) return std::nullopt;
  const char* header = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
  auto credentials = header == nullptr ? std::nullopt : parse_basic_auth(header);
  if (!credentials) return unauthorized();
  switch (passwords_.known(*users, *credentials)) {
    case PasswordCheck::Verdict::right: return std::nullopt;
    case PasswordCheck::Verdict::wrong: count(passwords_wrong_); return unauthorized();
    case PasswordCheck::Verdict::unknown: exchange.unchecked = std::move(credentials);
  }
  return std::nullopt;
}

MHD_Result HttpExchange::take_body(Exchange& exchange, const char* upload, std::size_t* upload_size) const {
  const auto most = static_cast<std::uint64_t>(limits_.body_bytes);
  exchange.body_bytes += *upload_size;
  const bool is_wanted = exchange.method == "POST" || exchange.method == "PUT";
  if (is_wanted && exchange.body_bytes <= most) exchange.body.append(upload, *upload_size);
  *upload_size = 0;
  return exchange.body_bytes > most + kDrainedBytes ? MHD_NO : MHD_YES;
}

// Called again, the exchange has a verdict.
void HttpExchange::wait_for_password(Exchange& exchange, MHD_Connection* connection) {
  MHD_suspend_connection(connection);
  if (exchange.connection != nullptr) connections_.set_phase(exchange.connection, Phase::handling, Clock::now());
  const auto go_on = [&exchange, connection](PasswordCheck::Verdict verdict) {
    exchange.verdict = verdict;
    MHD_resume_connection(connection);  // may end the exchange
  };
  bool is_taken = false;
  try {
    const std::string host = exchange.connection == nullptr ? "" : exchange.connection->host;
    is_taken = passwords_.try_check(exchange.security->users, std::move(*exchange.unchecked), host, go_on);
  } catch (...) {
    // As when too many wait.
  }
  if (!is_taken) go_on(PasswordCheck::Verdict::unknown);
}

MHD_Result HttpExchange::answer_whole(Exchange& exchange, MHD_Connection* connection) {
  if (exchange.body_bytes > static_cast<std::uint64_t>(limits_.body_bytes)) {
    return queue(&exchange, connection, text_response(413, "The request's body is too large.\n"));
  }
  if (exchange.unchecked) {
    if (!exchange.verdict) {
      wait_for_password(exchange, connection);
      return MHD_YES;
    }
    if (*exchange.verdict == PasswordCheck::Verdict::wrong) {
      count(passwords_wrong_);
      return queue(&exchange, connection, unauthorized());
    }
    if (*exchange.verdict == PasswordCheck::Verdict::unknown) {
      count(passwords_unchecked_);
      return queue(&exchange, connection, come_again(503, "Too many passwords wait for being checked.\n"));
    }
  }
  if (exchange.connection != nullptr) connections_.set_phase(exchange.connection, Phase::handling, Clock::now());
  return queue(&exchange, connection, answer_(HttpRequest(connection, exchange.method, *exchange.target, exchange.body)));
}

MHD_Result HttpExchange::queue(Exchange* exchange, MHD_Connection* connection, HttpResponse response) {
  auto lent = std::unique_ptr<LentBody>(new LentBody{nullptr, std::move(response.body)});
  if (lent->body && !lent->body->empty()) {
    if (bodies_.try_hold(lent->body) || (connections_.cut_stalled(Clock::now()) && bodies_.try_hold(lent->body, true))) {
      lent->holder = &bodies_;
    } else {
      count(overloads_);
      response = come_again(503, "Too many answers wait for their clients.\n");
      lent->body = std::move(response.body);
    }
  }
  if (!lent->body) lent->body = std::make_shared<const std::string>();
  Headers headers{{"Content-Type", std::move(response.type)}, {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
  for (const auto& [name, value] : response.headers) set_header(headers, name, value);
  const std::shared_ptr<const WebSecurity> security = exchange->security ? exchange->security : this->security();
  for (const auto& [name, value] : security->headers) set_header(headers, name, value);
  if (exchange->connection != nullptr) {
    if (connections_.is_retired(exchange->connection)) headers.emplace_back("Connection", "close");
    connections_.set_phase(exchange->connection, Phase::sending, Clock::now());
  }
  MHD_Response* made = make_response(std::move(lent), headers);
  const MHD_Result result = MHD_queue_response(connection, response.status, made);
  MHD_destroy_response(made);  // the connection holds its own reference
  if (result == MHD_YES) count(answers_[index_of(response.status)]);
  return result;
}

HttpCounters HttpExchange::counters() const {
  const auto value = [](const std::atomic<std::uint64_t>& counter) { return counter.load(std::memory_order_relaxed); };
  HttpCounters all;
  all.connections = value(connections_.accepted);
  all.connections_refused = value(connections_.refused);
  all.connections_evicted = value(connections_.evicted);
  all.request_timeouts = value(connections_.request_timeouts);
  all.idle_timeouts = value(connections_.idle_timeouts);
  all.answer_timeouts = value(connections_.answer_timeouts);
  all.dropped_requests = value(connections_.dropped_requests);
  all.tls_failures = value(connections_.tls_failures);
  all.requests = value(requests_);
  for (std::size_t i = 0; i < answers_.size(); ++i) all.answers[i] = value(answers_[i]);
  all.overloads = value(overloads_);
  all.rate_limited = value(rate_limited_);
  all.passwords_checked = passwords_.checked();
  all.passwords_wrong = value(passwords_wrong_);
  all.passwords_unchecked = value(passwords_unchecked_);
  all.open_connections = connections_.size();
  all.requests_in_flight = static_cast<std::uint64_t>(std::max(in_flight(), 0));
  all.answer_bytes = bodies_.bytes();
  return all;
}

}  // namespace vigil
