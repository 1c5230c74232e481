// A real client: libcurl, and a bare socket for what libcurl would never send.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace vigil::test {

struct HttpAnswer {
  long status = 0;                             ///< 0 when there was no answer
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  double seconds = 0;  ///< from the request to the last byte
};

/// One request to `endpoint` ("address:port") without proxy, with `headers` ("Name: value") beside libcurl's own. Waits up to ten
/// seconds. `method` HEAD expects no body.
HttpAnswer request(const std::string& endpoint, const std::string& path, const std::vector<std::string>& headers = {},
                   const std::string& method = "GET");

struct ClientOptions {
  std::string method = "GET";
  std::vector<std::string> headers = {};
  std::string body = {};                             ///< of POST and PUT
  std::string authority_file = {};                   ///< PEM of who signed the server's certificate; not empty: https
  std::string certificate_file = {}, key_file = {};  ///< PEM of the client
  std::string user = {};                             ///< "name:password"
};

/// The same with more to say. `error`, if given, is what libcurl says when there was no answer.
HttpAnswer request_with(const std::string& endpoint, const std::string& path, const ClientOptions& options, std::string* error = nullptr);

/// `text` as a component of a URL.
std::string url_encoded(const std::string& text);

/// Several requests over one connection; returns how many connections libcurl had to make.
long connections_for(const std::string& endpoint, const std::string& path, int requests);

/// A TCP connection to an IPv4 endpoint. Reads and writes wait up to ten seconds.
class RawConnection {
 public:
  /// `source`: the address of this side, when it matters.
  explicit RawConnection(const std::string& endpoint, const std::string& source = "");
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool is_open() const { return socket_ >= 0; }
  void send(const std::string& bytes);
  /// All bytes until the server closes.
  std::string read_all();
  /// Bytes until they hold `end`, or the server closes.
  std::string read_until(const std::string& end);
  /// Whether the server ends the connection within that time; reads what it sends until then.
  bool ends_within(double seconds);

 private:
  int socket_ = -1;
};

/// What `gzip` made of it.
std::string gunzip(const std::string& compressed);

}  // namespace vigil::test
