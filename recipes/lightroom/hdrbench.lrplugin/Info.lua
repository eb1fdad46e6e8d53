-- What Lightroom Classic reads of a plug-in.
return {
  LrSdkVersion = 10.0,
  LrSdkMinimumVersion = 6.0,
  LrToolkitIdentifier = 'hdrnet-bench.fivek-export',
  LrPluginName = 'hdrbench: export MIT-Adobe FiveK',
  LrLibraryMenuItems = {
    { title = 'Export FiveK for hdrbench...', file = 'ExportFiveK.lua' },
  },
}
