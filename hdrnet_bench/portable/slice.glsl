// Guide, slice and apply of one pixel, as model.enhance computes them. The reference for shaders of
// your own: float32 throughout, every cell fetched and interpolated here.
//
// GLSL ES 3.00, and 3.30 or later. It reads no built-in variable and indexes no array of textures,
// so that it goes over to Metal, HLSL and WGSL as it stands. Before this file come the precision
// statements of GLSL ES and, of a pointwise guide, "#define HIDDEN n", its hidden channels.
// README.md beside it says where the numbers are in a .hdrg file, and what to do for a pyramid.

#ifdef HIDDEN
uniform vec4 first[HIDDEN];  // weights of red, green and blue, and the bias
uniform float second[HIDDEN];
uniform float second_bias;

float guide_of(vec3 colour) {
  float sum = second_bias;
  for (int k = 0; k < HIDDEN; k++) sum += second[k] * max(dot(first[k], vec4(colour, 1.0)), 0.0);
  return 1.0 / (1.0 + exp(-sum));
}
#else
uniform mat3 ccm;
uniform vec3 ccm_bias;
uniform vec3 shifts[16];
uniform vec3 slopes[16];
uniform vec3 mixing;
uniform float mixing_bias;

float guide_of(vec3 colour) {
  vec3 x = ccm * colour + ccm_bias;
  vec3 curve = vec3(0.0);
  for (int k = 0; k < 16; k++) curve += slopes[k] * max(x - shifts[k], 0.0);
  return clamp(dot(mixing, curve) + mixing_bias, 0.0, 1.0);
}
#endif

// The grid, a texture of RGBA floats for each row of its matrices: columns wide, rows high, its
// depth deep. Only texels are fetched: a filtered fetch has weights of 8 bits on most devices.
uniform highp sampler3D red_row;
uniform highp sampler3D green_row;
uniform highp sampler3D blue_row;

// A row of the matrix between the eight cells around a place.
vec4 row_at(highp sampler3D grid, ivec3 low, ivec3 high, vec3 weight) {
  vec4 near = mix(
      mix(texelFetch(grid, low, 0), texelFetch(grid, ivec3(high.x, low.y, low.z), 0), weight.x),
      mix(texelFetch(grid, ivec3(low.x, high.y, low.z), 0),
          texelFetch(grid, ivec3(high.x, high.y, low.z), 0), weight.x),
      weight.y);
  vec4 far = mix(
      mix(texelFetch(grid, ivec3(low.x, low.y, high.z), 0),
          texelFetch(grid, ivec3(high.x, low.y, high.z), 0), weight.x),
      mix(texelFetch(grid, ivec3(low.x, high.y, high.z), 0), texelFetch(grid, high, 0), weight.x),
      weight.y);
  return mix(near, far, weight.z);
}

// The pixel's colour, enhanced and not clamped. place: where its centre lies in the whole picture,
// (x + 0.5) / width and (y + 0.5) / height, y counted from the top.
vec3 enhanced(vec3 colour, vec2 place) {
  ivec3 cells = textureSize(red_row, 0);
  // Cells have their centres at halves; beyond the outermost centres the border goes on.
  vec3 at = clamp(vec3(place, guide_of(colour)) * vec3(cells) - 0.5, vec3(0.0), vec3(cells - 1));
  vec3 below = floor(at);
  ivec3 low = ivec3(below);
  ivec3 high = min(low + 1, cells - 1);
  vec3 weight = at - below;
  vec4 one = vec4(colour, 1.0);
  return vec3(dot(row_at(red_row, low, high, weight), one),
              dot(row_at(green_row, low, high, weight), one),
              dot(row_at(blue_row, low, high, weight), one));
}
