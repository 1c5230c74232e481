#include "http/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>

namespace vigil::test {
namespace {

std::size_t append_body(char* data, std::size_t size, std::size_t count, void* response) {
  static_cast<HttpAnswer*>(response)->body.append(data, size * count);
  return size * count;
}

std::size_t add_header(char* data, std::size_t size, std::size_t count, void* response) {
  const std::string line(data, size * count);
  const auto colon = line.find(':');
  if (colon == std::string::npos) return line.size();
  std::string name = line.substr(0, colon);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto begin = line.find_first_not_of(" \t", colon + 1), end = line.find_last_not_of("\r\n");
  static_cast<HttpAnswer*>(response)->headers[name] = begin > end ? "" : line.substr(begin, end - begin + 1);
  return line.size();
}

using Handle = std::unique_ptr<CURL, void (*)(CURL*)>;

Handle make_handle(HttpAnswer& response) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialized != CURLE_OK) throw std::runtime_error("libcurl does not start");
  Handle handle(curl_easy_init(), curl_easy_cleanup);
  curl_easy_setopt(handle.get(), CURLOPT_TIMEOUT_MS, 10'000L);
  curl_easy_setopt(handle.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(handle.get(), CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, append_body);
  curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &response);
  curl_easy_setopt(handle.get(), CURLOPT_HEADERFUNCTION, add_header);
  curl_easy_setopt(handle.get(), CURLOPT_HEADERDATA, &response);
  return handle;
}

}  // namespace

HttpAnswer request_with(const std::string& endpoint, const std::string& path, const ClientOptions& options, std::string* error) {
  HttpAnswer response;
  const Handle handle = make_handle(response);
  const auto set_text = [&](CURLoption option, const std::string& text) {
    if (!text.empty()) curl_easy_setopt(handle.get(), option, text.c_str());
  };
  curl_slist* list = nullptr;
  for (const std::string& header : options.headers) list = curl_slist_append(list, header.c_str());
  curl_easy_setopt(handle.get(), CURLOPT_URL, ((options.authority_file.empty() ? "http://" : "https://") + endpoint + path).c_str());
  curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, list);
  set_text(CURLOPT_CAINFO, options.authority_file);
  set_text(CURLOPT_SSLCERT, options.certificate_file);
  set_text(CURLOPT_SSLKEY, options.key_file);
  set_text(CURLOPT_USERPWD, options.user);
  if (options.method == "HEAD") {
    curl_easy_setopt(handle.get(), CURLOPT_NOBODY, 1L);
  } else if (options.method != "GET") {
    curl_easy_setopt(handle.get(), CURLOPT_CUSTOMREQUEST, options.method.c_str());
    if (options.method == "POST" || options.method == "PUT") {
      curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(options.body.size()));
      curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDS, options.body.c_str());
    }
  }
  const CURLcode result = curl_easy_perform(handle.get());
  if (error != nullptr) *error = result == CURLE_OK ? "" : curl_easy_strerror(result);
  if (result == CURLE_OK) {
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &response.status);
    curl_easy_getinfo(handle.get(), CURLINFO_TOTAL_TIME, &response.seconds);
  }
  curl_slist_free_all(list);
  return response;
}

HttpAnswer request(const std::string& endpoint, const std::string& path, const std::vector<std::string>& headers,
                   const std::string& method) {
  ClientOptions options;
  options.method = method;
  options.headers = headers;
  options.body = "a body";
  return request_with(endpoint, path, options);
}

std::string url_encoded(const std::string& text) {
  const std::unique_ptr<char, void (*)(void*)> encoded(curl_easy_escape(nullptr, text.c_str(), static_cast<int>(text.size())), curl_free);
  return encoded.get();
}

long connections_for(const std::string& endpoint, const std::string& path, int requests) {
  HttpAnswer response;
  const Handle handle = make_handle(response);
  curl_easy_setopt(handle.get(), CURLOPT_URL, ("http://" + endpoint + path).c_str());
  long connections = 0;
  for (int i = 0; i < requests; ++i) {
    if (curl_easy_perform(handle.get()) != CURLE_OK) return -1;
    long fresh = 0;
    curl_easy_getinfo(handle.get(), CURLINFO_NUM_CONNECTS, &fresh);
    connections += fresh;
  }
  return connections;
}

RawConnection::RawConnection(const std::string& endpoint, const std::string& source) {
  const auto colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(colon + 1))));
  inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr);
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (!source.empty()) {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    inet_pton(AF_INET, source.c_str(), &own.sin_addr);
    bind(socket_, reinterpret_cast<const sockaddr*>(&own), sizeof own);
  }
  const timeval limit{10, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(socket_);
    socket_ = -1;
  }
}

RawConnection::~RawConnection() {
  if (socket_ >= 0) close(socket_);
}

void RawConnection::send(const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t result = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (result <= 0) return;
    sent += static_cast<std::size_t>(result);
  }
}

std::string RawConnection::read_all() {
  std::string all;
  char buffer[4096];
  for (ssize_t got; (got = recv(socket_, buffer, sizeof buffer, 0)) > 0;) all.append(buffer, static_cast<std::size_t>(got));
  return all;
}

std::string RawConnection::read_until(const std::string& end) {
  std::string all;
  for (char c = 0; all.find(end) == std::string::npos && recv(socket_, &c, 1, 0) == 1;) all += c;
  return all;
}

bool RawConnection::ends_within(double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd readable{socket_, POLLIN, 0};
    if (left <= 0 || poll(&readable, 1, static_cast<int>(left)) != 1) return false;
    char buffer[4096];
    if (recv(socket_, buffer, sizeof buffer, 0) <= 0) return true;
  }
}

std::string gunzip(const std::string& compressed) {
  z_stream stream{};
  constexpr int kGzipOnly = 15 + 16;
  inflateInit2(&stream, kGzipOnly);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    Bytef buffer[16384];
    stream.next_out = buffer;
    stream.avail_out = sizeof buffer;
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(reinterpret_cast<const char*>(buffer), sizeof buffer - stream.avail_out);
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("not gzip");
  return out;
}

}  // namespace vigil::test
