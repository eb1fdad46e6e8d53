// The shaders, in GLSL ES 3.00. Pixels and grid are fetched texel by texel and interpolated in
// float32: a filtered fetch has weights of 8 bits.

// What a fragment is: the picture enhanced, its guide, or a level of a pyramid, not clamped.
const SHOW = { output: 0, guide: 1, level: 2 };

const HEAD = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;`;

// One triangle that covers everything.
const TRIANGLE = `
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

const CURVES = `
uniform mat3 matrix;
uniform vec3 bias;
uniform vec3 shifts[COUNT];
uniform vec3 slopes[COUNT];
uniform vec4 mixing;
float guideOf(vec3 colour) {
  vec3 x = matrix * colour + bias;
  vec3 curve = vec3(0);
  for (int k = 0; k < COUNT; k++) curve += slopes[k] * max(x - shifts[k], 0.0);
  return clamp(dot(mixing.rgb, curve) + mixing.a, 0.0, 1.0);
}`;

const POINTWISE = `
uniform vec4 first[COUNT];
uniform float second[COUNT];
uniform float secondBias;
float guideOf(vec3 colour) {
  float sum = secondBias;
  for (int k = 0; k < COUNT; k++) sum += second[k] * max(dot(first[k], vec4(colour, 1)), 0.0);
  return 1.0 / (1.0 + exp(-sum));
}`;

// Bilinear with aligned corners: a picture of one size at a pixel of another.
const NEIGHBOURS = `
vec3 resized(sampler2D from, ivec2 old, ivec2 at, ivec2 size) {
  vec2 place = vec2(at) * (vec2(old - 1) / vec2(max(size - 1, 1)));
  ivec2 before = min(ivec2(place), old - 1);
  ivec2 after = min(before + 1, old - 1);
  vec2 weight = place - vec2(before);
  vec3 upper = mix(texelFetch(from, before, 0).rgb,
                   texelFetch(from, ivec2(after.x, before.y), 0).rgb, weight.x);
  vec3 lower = mix(texelFetch(from, ivec2(before.x, after.y), 0).rgb,
                   texelFetch(from, after, 0).rgb, weight.x);
  return mix(upper, lower, weight.y);
}`;

const SLICE = `
uniform sampler2D picture;
uniform sampler2D grid;
uniform sampler2D coarser;
uniform ivec2 size;
uniform ivec2 origin;
uniform ivec2 coarserSize;
uniform int show;
uniform int upright;
uniform float strength;
out vec4 result;

// Row o of the matrix of a cell.
vec4 cell(int column, int row, int z, int o) {
  return texelFetch(grid, ivec2(column * OUTPUTS + FIRST_ROW + o, z * ROWS + row), 0);
}

void main() {
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  if (upright == 1) pixel.y = size.y - 1 - pixel.y;
  vec4 texel = texelFetch(picture, pixel, 0);
  vec3 colour = texel.rgb;
  float guide = guideOf(colour);
  if (show == ${SHOW.guide}) {
    result = vec4(vec3(guide), texel.a);
    return;
  }
  ivec2 at = pixel + origin;
  ivec3 cells = ivec3(COLUMNS, ROWS, DEPTH);
  vec3 place = vec3((vec2(at) + 0.5) * vec2(cells.xy) / vec2(size), guide * float(DEPTH)) - 0.5;
  vec3 below = floor(place);
  vec3 weight = place - below;
  ivec3 low = clamp(ivec3(below), ivec3(0), cells - 1);
  ivec3 high = clamp(ivec3(below) + 1, ivec3(0), cells - 1);
  vec3 enhanced;
  for (int o = 0; o < 3; o++) {
    vec4 near = mix(
      mix(cell(low.x, low.y, low.z, o), cell(high.x, low.y, low.z, o), weight.x),
      mix(cell(low.x, high.y, low.z, o), cell(high.x, high.y, low.z, o), weight.x), weight.y);
    vec4 far = mix(
      mix(cell(low.x, low.y, high.z, o), cell(high.x, low.y, high.z, o), weight.x),
      mix(cell(low.x, high.y, high.z, o), cell(high.x, high.y, high.z, o), weight.x), weight.y);
    enhanced[o] = dot(mix(near, far, weight.z), vec4(colour, 1));
  }
  if (coarserSize.x > 0) enhanced += resized(coarser, coarserSize, at, size);
  if (show == ${SHOW.level}) {
    result = vec4(enhanced, 1);
    return;
  }
  vec3 mixed = mix(colour, clamp(enhanced, 0.0, 1.0), strength);
  result = vec4(floor(mixed * 255.0 + 0.5) / 255.0, texel.a);
}`;

const RESIZE = `${NEIGHBOURS}
uniform sampler2D picture;
uniform ivec2 size;
uniform ivec2 old;
out vec4 result;
void main() {
  result = vec4(resized(picture, old, ivec2(gl_FragCoord.xy), size), 1);
}`;
