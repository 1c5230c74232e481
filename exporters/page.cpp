#include "vigil/exporters/page.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "vigil/config/prefix.h"
#include "vigil/dashboard/page_assets.h"
#include "vigil/exporters/content_negotiation.h"

namespace vigil {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";
constexpr std::string_view kAssets = "/assets/", kIndex = "index.html";

// Of a path that is the page's; empty: no file can have that name.
std::string_view file_of(std::string_view path) noexcept {
  if (path == "/") return kIndex;
  const std::string_view name = path.substr(1);
  const auto is_plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("/-._", c) != nullptr; };
  // No hidden file, and nothing above the folder.
  const bool is_safe = std::all_of(name.begin(), name.end(), is_plain) && name.find("/.") == std::string_view::npos;
  return is_safe && name.back() != '/' ? name : std::string_view();
}

std::string inflated(const PageAsset& asset) {
  std::string text(asset.size, '\0');
  z_stream stream{};
  constexpr int kGzip = 16;
  if (inflateInit2(&stream, MAX_WBITS + kGzip) != Z_OK) throw std::bad_alloc();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(asset.gzip.data()));
  stream.avail_in = static_cast<uInt>(asset.gzip.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("an embedded file is damaged");
  return text;
}

std::string_view type_of(std::string_view file) noexcept {
  const std::string_view extension = file.substr(std::min(file.rfind('.'), file.size()));
  for (const PageAsset& asset : page_assets()) {
    if (asset.path.substr(std::min(asset.path.rfind('.'), asset.path.size())) == extension) return asset.type;
  }
  return "text/plain; charset=utf-8";
}

// Whether a browser has this file: If-None-Match is a list of tags, or a star (RFC 9110, section 13.1.2).
bool is_known(std::string_view tags, std::string_view tag) noexcept { return tags == "*" || tags.find(tag) != std::string_view::npos; }

HttpResponse page_response(unsigned status, std::string body, std::string_view type) {
  HttpResponse response = text_response(status, std::move(body), std::string(type));
  // To be asked for again each time, which costs a few bytes where it is the same.
  response.headers = {{"Content-Security-Policy", kPolicy}, {"Referrer-Policy", "no-referrer"}, {"Cache-Control", "no-cache"}};
  return response;
}

}  // namespace

Page::Page(std::string directory, const std::string& setting) : directory_(std::move(directory)) {
  std::error_code error;
  const std::filesystem::path index = std::filesystem::path(directory_) / kIndex;
  if (!directory_.empty() && !std::filesystem::is_regular_file(index, error))
    throw std::invalid_argument(setting + ": there is no file " + index.string() +
                                "; name the folder dashboard of vigil's sources, or leave " + setting +
                                " out for the page that is built in");
}

bool Page::has(std::string_view path) noexcept { return path == "/" || starts_with(path, kAssets); }

std::optional<HttpResponse> Page::answer(const HttpRequest& request) const {
  if (!has(request.path())) return {};
  const std::string_view file = file_of(request.path());
  if (file.empty()) return {};
  if (!directory_.empty()) {
    const std::filesystem::path path = std::filesystem::path(directory_) / file;
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error) || std::filesystem::file_size(path, error) > kMaxFileBytes) return {};
    std::ifstream in(path, std::ios::binary);
    return page_response(200, std::string(std::istreambuf_iterator<char>(in), {}), type_of(file));
  }
  const auto& assets = page_assets();
  const auto found = std::find_if(assets.begin(), assets.end(), [file](const PageAsset& asset) { return asset.path == file; });
  if (found == assets.end()) return {};
  const bool is_gzip = prefers_gzip(request.header("Accept-Encoding"));
  // Of each encoding one, since they are different bytes.
  const std::string tag = '"' + std::string(found->hash) + (is_gzip ? "-gzip\"" : "\"");
  const bool is_same = is_known(request.header("If-None-Match"), tag);
  HttpResponse response = page_response(is_same ? 304 : 200, {}, found->type);
  response.headers.insert(response.headers.end(), {{"ETag", tag}, {"Vary", "Accept-Encoding"}});
  if (is_same) return response;
  response.body = std::make_shared<const std::string>(is_gzip ? std::string(found->gzip) : inflated(*found));
  if (is_gzip) response.headers.emplace_back("Content-Encoding", "gzip");
  return response;
}

}  // namespace vigil
