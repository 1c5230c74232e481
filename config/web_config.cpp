#include "vigil/config/web_config.h"

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "vigil/config/config_reader.h"
#include "vigil/config/document.h"
#include "vigil/config/fault_report.h"
#include "vigil/config/mapping_reader.h"
#include "vigil/config/source_file.h"
#include "vigil/config/text.h"

namespace vigil {
namespace {

using namespace config_reader;

constexpr std::size_t kMaxPathBytes = 4096;
constexpr std::size_t kMaxUsers = 100, kMaxNames = 100;
constexpr std::size_t kMaxUserBytes = 128, kMaxNameBytes = 512, kMaxHeaderBytes = 1024;
constexpr std::size_t kBcryptBytes = 60;
constexpr std::int64_t kMaxIntervalUs = 3'600'000'000, kMaxBurst = 1'000'000;

struct HeaderRule {
  std::string_view name;
  std::vector<std::string> values;  // empty: any
};

// Those that exporter-toolkit knows, and no others: a header of HTTP itself would break answers.
const std::vector<HeaderRule>& header_rules() {
  static const std::vector<HeaderRule> rules{{"Content-Security-Policy", {}},
                                             {"Strict-Transport-Security", {}},
                                             {"X-Content-Type-Options", {"nosniff"}},
                                             {"X-Frame-Options", {"deny", "sameorigin"}},
                                             {"X-XSS-Protection", {}}};
  return rules;
}

// What is wrong with a hash, as it stands after "got"; empty: nothing. Never the hash, which may be a password that was not hashed.
std::string bcrypt_problem(std::string_view hash) {
  const std::string_view start = hash.substr(0, 4);
  if (start != "$2a$" && start != "$2b$" && start != "$2y$") {
    return "something else (`htpasswd -nBC 10 USER` prints USER:HASH; it is not shown here as it may be a password)";
  }
  constexpr std::string_view kAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const auto is_digit = [&](std::size_t at) { return hash[at] >= '0' && hash[at] <= '9'; };
  if (hash.size() != kBcryptBytes) return std::to_string(hash.size()) + " bytes";
  if (!is_digit(4) || !is_digit(5) || hash[6] != '$' || hash.substr(7).find_first_not_of(kAlphabet) != std::string_view::npos) {
    return "a hash with other characters than bcrypt writes";
  }
  const int cost = 10 * (hash[4] - '0') + (hash[5] - '0');
  if (cost >= 4 && cost <= kMaxBcryptCost) return "";
  return "a hash of cost " + std::to_string(cost) + " (each step doubles the time that a login takes; make it anew with less)";
}

// Microseconds of a duration such as `100ms`, `1s`, `2m` or `0`.
std::optional<std::int64_t> parse_duration(std::string_view text) {
  std::int64_t count = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"us", 1}, {"ms", 1000}, {"s", 1'000'000}, {"m", 60'000'000}, {"h", 3'600'000'000}};
  if (unit.empty() && count == 0) return 0;
  for (const auto& [name, factor] : kUnits) {
    if (unit == name && count <= kMaxIntervalUs / factor) return count * factor;
  }
  return std::nullopt;
}

// Walks a document, section by section, and fills in a WebConfig.
class WebReader : public MappingReader {
 public:
  WebReader(const Document& document, std::filesystem::path folder) : MappingReader(document), folder_(std::move(folder)) {
    if (document.root) read(*document.root, document.root->offset, "", kTop);
  }

  WebConfig config;

 private:
  struct Entry {
    std::string_view name;
    void (WebReader::*read)(const Place&);
  };
  using Section = std::vector<Entry>;

  void read(const Node& node, std::size_t key_offset, const std::string& path, const Section& section) {
    if (is_foreign(node, path)) return;
    each({node, key_offset, path}, "a mapping", [&](const Node& key, const Node& value, const std::string& entry_path) {
      const auto found = std::find_if(section.begin(), section.end(), [&](const Entry& entry) { return entry.name == key.text; });
      if (found != section.end()) return (this->*found->read)({value, key.offset, entry_path});
      std::vector<std::string> names;
      for (const Entry& entry : section) names.emplace_back(entry.name);
      unknown_key(key, entry_path, names);
    });
  }

  void read_tls(const Place& place) {
    config.tls.emplace();
    const std::size_t faults_before = faults();
    read(place.value, place.key_offset, place.key, kTls);
    if (faults() != faults_before || place.value.kind != Node::Kind::mapping) return;  // what is missing may be misspelt
    const TlsServerConfig& tls = *config.tls;
    need_pem(place, tls.certificate, "cert_file");
    need_pem(place, tls.key, "key_file");
    const bool verifies = tls.client_auth == ClientAuth::verify_if_given || tls.client_auth == ClientAuth::require_and_verify;
    if (verifies) need_pem(place, tls.client_ca, "client_ca_file");
    if (!verifies && !is_empty(tls.client_ca)) {
      fault(place.key_offset, place.key,
            "expected the client_auth_type RequireAndVerifyClientCert or VerifyClientCertIfGiven beside client_ca_file, got none of them");
    }
    if (!verifies && !tls.client_allowed_sans.empty()) {
      fault(place.key_offset, place.key,
            "expected the client_auth_type RequireAndVerifyClientCert or VerifyClientCertIfGiven beside client_allowed_sans, got none of "
            "them");
    }
    if (tls.min_version > tls.max_version) {
      fault(place.key_offset, place.key, "expected a min_version of at most max_version, got TLS13 and TLS12");
    }
  }

  static bool is_empty(const PemSource& source) { return source.file.empty() && source.text.empty(); }

  void need_pem(const Place& place, const PemSource& source, const std::string& name) {
    if (is_empty(source)) fault(place.key_offset, place.key, "expected " + name + ", got a section without it");
  }

  void read_pem_file(const Place& place, PemSource& source) {
    const auto path = text_of(place, "path", kMaxPathBytes, place.value);
    if (!path) return;
    if (!source.text.empty()) return unexpected(place, "a file or a text, not both", "a file beside the text");
    source.file = (folder_ / *path).string();
  }
  void read_pem_text(const Place& place, PemSource& source) {
    if (!is_scalar(place.value) || place.value.text.find("-----BEGIN ") == std::string::npos) {
      return unexpected(place, "PEM", "something else (it is not shown here as it may be a key)");
    }
    if (!source.file.empty()) return unexpected(place, "a file or a text, not both", "a text beside the file");
    source.text = place.value.text;
  }
  void read_cert(const Place& place) { read_pem_text(place, config.tls->certificate); }
  void read_cert_file(const Place& place) { read_pem_file(place, config.tls->certificate); }
  void read_key(const Place& place) { read_pem_text(place, config.tls->key); }
  void read_key_file(const Place& place) { read_pem_file(place, config.tls->key); }
  void read_client_ca(const Place& place) { read_pem_text(place, config.tls->client_ca); }
  void read_client_ca_file(const Place& place) { read_pem_file(place, config.tls->client_ca); }

  void read_client_auth(const Place& place) {
    const bool is_old_name = place.value.text == "RequireClientCert" && is_scalar(place.value);
    const std::vector<std::string> names{"NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
                                         "RequireAndVerifyClientCert"};
    const auto index = is_old_name ? std::optional<std::size_t>(2) : choice_of(place, names);
    if (index) config.tls->client_auth = static_cast<ClientAuth>(*index);
  }
  void read_sans(const Place& place) {
    list_of(place, "names", kMaxNames, [&](const Place& element) {
      if (auto name = text_of(element, "name", kMaxNameBytes, element.value)) config.tls->client_allowed_sans.push_back(std::move(*name));
    });
  }
  void read_version(const Place& place, TlsVersion& version) {
    const bool is_old = place.value.text == "TLS10" || place.value.text == "TLS11";
    const auto index = choice_of(place, {"TLS12", "TLS13"}, is_old ? " (nothing before TLS 1.2 is offered; write TLS12)" : "");
    if (index) version = static_cast<TlsVersion>(*index);
  }
  void read_min_version(const Place& place) { read_version(place, config.tls->min_version); }
  void read_max_version(const Place& place) { read_version(place, config.tls->max_version); }
  void read_suites(const Place& place) {
    if (place.value.kind == Node::Kind::list && place.value.children.empty()) return;
    unexpected(place, "no cipher_suites",
               "a list (GnuTLS cannot choose single suites; AEAD suites with forward secrecy are the only ones offered anyway: leave the "
               "key out)");
  }
  void read_prefer_server(const Place& place) {
    if (const auto flag = flag_of(place)) config.tls->prefer_server_cipher_suites = *flag;
  }
  void read_curves(const Place& place) {
    list_of(place, "curves", kMaxNames, [&](const Place& element) {
      if (choice_of(element, {"CurveP256", "CurveP384", "CurveP521", "X25519"})) {
        config.tls->curve_preferences.push_back(element.value.text);
      }
    });
  }

  void read_http(const Place& place) { read(place.value, place.key_offset, place.key, kHttp); }
  void read_http2(const Place& place) {
    const auto flag = flag_of(place, "false");
    if (flag == true) unexpected(place, "false", "'true' (HTTP/1.1 is spoken here, and clients of HTTP/2 speak it too)");
  }
  void read_headers(const Place& place) {
    each(place, "a mapping of headers", [&](const Node& key, const Node& value, const std::string& path) {
      const auto rule =
          std::find_if(header_rules().begin(), header_rules().end(), [&](const HeaderRule& row) { return row.name == key.text; });
      if (rule == header_rules().end()) {
        std::vector<std::string> names;
        for (const HeaderRule& row : header_rules()) names.emplace_back(row.name);
        return fault(key.offset, path, "expected " + joined(names, " or ") + ", got " + quoted_text(key.text, '\''));
      }
      const Place at{value, key.offset, path};
      if (is_scalar(value) && value.text.empty()) return;  // not set, as in exporter-toolkit
      if (!rule->values.empty() && !choice_of(at, rule->values)) return;
      if (auto text = text_of(at, "header", kMaxHeaderBytes, value)) config.headers.emplace_back(rule->name, std::move(*text));
    });
  }

  void read_users(const Place& place) {
    each(place, "a mapping of names to bcrypt hashes", [&](const Node& key, const Node& value, const std::string& path) {
      const Place at{value, key.offset, path};
      const Place name_at{key, key.offset, place.key};
      const auto name = text_of(name_at, "name", kMaxUserBytes, key);
      if (name && name->find(':') != std::string::npos) {
        unexpected(name_at, "a name without a colon");
      } else if (config.users.size() == kMaxUsers) {
        unexpected(name_at, "at most " + std::to_string(kMaxUsers) + " users", "more");
      }
      const std::string expected = "a bcrypt hash of cost 4 to " + std::to_string(kMaxBcryptCost);
      const std::string problem = is_scalar(value) ? bcrypt_problem(value.text) : shown(value);
      if (!problem.empty()) return unexpected(at, expected, problem);
      if (name && config.users.size() < kMaxUsers) config.users.push_back({*name, value.text});
    });
  }

  void read_rate(const Place& place) {
    const std::size_t faults_before = faults();
    read(place.value, place.key_offset, place.key, kRate);
    if (faults() == faults_before && config.rate_interval_us > 0 && config.rate_burst == 0) {
      fault(place.key_offset, place.key, "expected burst beside interval, got none (without it every request would be refused)");
    }
  }
  void read_interval(const Place& place) {
    const auto interval = place.value.kind == Node::Kind::plain ? parse_duration(place.value.text) : std::nullopt;
    if (!interval) return unexpected(place, "a duration from 0s to 1h (in us, ms, s, m or h)");
    config.rate_interval_us = *interval;
  }
  void read_burst(const Place& place) {
    std::int64_t burst = 0;
    const std::string& text = place.value.text;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), burst);
    const bool is_number = place.value.kind == Node::Kind::plain && error == std::errc{} && end == text.data() + text.size();
    if (!is_number || burst < 1 || burst > kMaxBurst) return unexpected(place, "an integer from 1 to " + std::to_string(kMaxBurst));
    config.rate_burst = burst;
  }

  static const Section kTop, kTls, kHttp, kRate;

  std::filesystem::path folder_;
};

const WebReader::Section WebReader::kTop{{"tls_server_config", &WebReader::read_tls},
                                         {"http_server_config", &WebReader::read_http},
                                         {"basic_auth_users", &WebReader::read_users},
                                         {"rate_limit", &WebReader::read_rate}};
const WebReader::Section WebReader::kTls{{"cert_file", &WebReader::read_cert_file},
                                         {"key_file", &WebReader::read_key_file},
                                         {"client_ca_file", &WebReader::read_client_ca_file},
                                         {"client_auth_type", &WebReader::read_client_auth},
                                         {"client_allowed_sans", &WebReader::read_sans},
                                         {"min_version", &WebReader::read_min_version},
                                         {"max_version", &WebReader::read_max_version},
                                         {"cipher_suites", &WebReader::read_suites},
                                         {"prefer_server_cipher_suites", &WebReader::read_prefer_server},
                                         {"curve_preferences", &WebReader::read_curves},
                                         {"cert", &WebReader::read_cert},
                                         {"key", &WebReader::read_key},
                                         {"client_ca", &WebReader::read_client_ca}};
const WebReader::Section WebReader::kHttp{{"http2", &WebReader::read_http2}, {"headers", &WebReader::read_headers}};
const WebReader::Section WebReader::kRate{{"interval", &WebReader::read_interval}, {"burst", &WebReader::read_burst}};

}  // namespace

WebConfig parse_web_config(std::string_view yaml, const std::filesystem::path& folder, const std::string& name) {
  const Document document = parse_document(yaml);
  WebReader reader(document, folder);
  std::vector<Fault> faults = reader.take_faults();
  if (!faults.empty()) throw_faults(std::move(faults), document.source, name);
  reader.config.is_blank = !document.root || document.root->kind == Node::Kind::null;
  return std::move(reader.config);
}

WebConfig load_web_config(const std::filesystem::path& path) {
  const SourceFile file = read_source_file(path, kMaxSourceBytes + 1);  // one more: the parser says when it is too much
  if (!file.problem.empty()) throw ConfigError({{path.string(), 0, 0, "", file.problem}});
  return parse_web_config(file.text, path.parent_path(), path.string());
}

}  // namespace vigil
