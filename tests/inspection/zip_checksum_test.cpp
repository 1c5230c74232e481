// The checksum of archives against zlib's.
#include "vigil/inspection/zip_checksum.h"

#include <zlib.h>

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace vigil {
namespace {

std::uint32_t by_zlib(const unsigned char* data, std::size_t bytes) { return static_cast<std::uint32_t>(crc32_z(0, data, bytes)); }

// The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
TEST(ZipChecksum, OfTheDigitsIsThePublishedOne) { EXPECT_EQ(zip_checksum(0, "123456789", 9), 0xcbf43926U); }

TEST(ZipChecksum, IsThatOfZlibForAnyLengthAndAlignment) {
  std::mt19937 engine(5);
  std::vector<unsigned char> data(2'000);
  for (unsigned char& byte : data) byte = static_cast<unsigned char>(engine());
  for (std::size_t begin = 0; begin < 17; ++begin) {
    for (std::size_t bytes = 0; bytes < 300; ++bytes)
      ASSERT_EQ(zip_checksum(0, &data[begin], bytes), by_zlib(&data[begin], bytes)) << bytes;
  }
}

TEST(ZipChecksum, GoesOnFromPieceToPiece) {
  const std::vector<unsigned char> data(1'000'003, 0xa5);
  std::uint32_t crc = 0;
  for (std::size_t at = 0, piece = 1; at < data.size(); at += piece, piece = piece * 3 % 70'001 + 1) {
    piece = std::min(piece, data.size() - at);
    crc = zip_checksum(crc, &data[at], piece);
  }
  EXPECT_EQ(crc, by_zlib(data.data(), data.size()));
}

}  // namespace
}  // namespace vigil
