# cmake -DROOT=<folder> -DLIST=<file with a path a line> -DOUTPUT=<file.cpp> -P embed.cmake
# The files of the page, gzip'd, as a table in C++. The same bytes come out of the same files, whenever and wherever it runs.
set(types_html "text/html; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_svg "image/svg+xml")

file(STRINGS "${LIST}" assets)
set(arrays "")
set(rows "")
set(number 0)
foreach(asset IN LISTS assets)
  get_filename_component(extension "${asset}" LAST_EXT)
  string(REPLACE "." "" extension "${extension}")
  set(type "${types_${extension}}")
  if(type STREQUAL "")
    set(type "text/plain; charset=utf-8")
  endif()
  file(ARCHIVE_CREATE OUTPUT "${OUTPUT}.gz" PATHS "${ROOT}/${asset}" FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
  file(READ "${OUTPUT}.gz" bytes HEX)
  # RFC 1952: bytes 4 to 7 are a time.
  string(SUBSTRING "${bytes}" 0 8 head)
  string(SUBSTRING "${bytes}" 16 -1 rest)
  set(bytes "${head}00000000${rest}")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  file(SHA256 "${ROOT}/${asset}" hash)
  string(SUBSTRING "${hash}" 0 32 hash)
  file(SIZE "${ROOT}/${asset}" size)
  string(APPEND arrays "const unsigned char kBytes${number}[] = {${bytes}};\n")
  string(APPEND rows "      {\"${asset}\", \"${type}\", {reinterpret_cast<const char*>(kBytes${number}), sizeof kBytes${number}}, \"${hash}\", ${size}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(REMOVE "${OUTPUT}.gz")
file(WRITE "${OUTPUT}.new" "// Made by dashboard/embed.cmake.
#include \"vigil/dashboard/page_assets.h\"

namespace vigil {
namespace {

${arrays}
}  // namespace

const std::vector<PageAsset>& page_assets() {
  static const std::vector<PageAsset> assets{
${rows}  };
  return assets;
}

}  // namespace vigil
")
file(RENAME "${OUTPUT}.new" "${OUTPUT}")
