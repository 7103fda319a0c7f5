"""AI Hub's wildlife set (dataSetSn 645) as it ships."""
